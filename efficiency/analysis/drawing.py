"""Has charts drawn for print, by other processes where there are any, from when each is known."""

import dataclasses
from collections.abc import Iterable
from concurrent.futures import Executor, Future

from efficiency.analysis import figures
from efficiency.analysis.charts import Chart


class Drawing:
    """Charts that are being drawn."""

    def __init__(self, pool: Executor | None = None):
        """Has them drawn by a pool of processes; None for this one, when a chart is asked for."""
        self._pool = pool
        self._begun: dict[Chart, Future[dict[str, bytes]]] = {}

    def begin(self, charts: Iterable[Chart]) -> None:
        """Begins with those of these that are new, where there are other processes."""
        for chart in charts:
            if self._pool is not None and chart not in self._begun:
                self._begun[chart] = self._pool.submit(figures.draw, _in_print(chart))

    def help(self) -> None:
        """Draws here what none of the other processes has begun with."""
        # They begin with the first.
        for chart, future in reversed(self._begun.items()):
            if not future.cancel():
                return
            drawn = Future()
            drawn.set_result(figures.draw(_in_print(chart)))
            self._begun[chart] = drawn

    def drawn(self, chart: Chart) -> dict[str, bytes]:
        """Its files by their names, as `figures.draw` has them."""
        return self._begun[chart].result() if chart in self._begun else figures.draw(chart)


def _in_print(chart: Chart) -> Chart:
    """Without what the page alone has, which may be much."""
    return dataclasses.replace(chart, series=[dataclasses.replace(series, hover=()) for series in chart.series])
