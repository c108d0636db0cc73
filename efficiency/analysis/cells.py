"""Cells of tables for what has more to say than a number: medians that may be bounds, and factors with intervals.

People read one text, '5.06e11 or more' or '20.1 [15.6, 24.0]'; the CSV file has its parts in columns of their own.
"""

from collections.abc import Sequence

from efficiency.analysis.document import Column, cell_text
from efficiency.analysis.factors import Factor
from efficiency.analysis.survival import Summary


def amount_text(value: float | None, is_bound: bool, digits: int = 3, bound: str = 'or more') -> str:
    """What something takes: '5.06e11', '5.06e11 or more', or 'never'; '-' for None."""
    return f'{cell_text(value, digits)} {bound}' if is_bound else cell_text(value, digits)


def amount_column(key: str, label: str, link: str = '') -> Column:
    """A column of `amount_cells`."""
    return Column(key, label, link=link, text=f'{key}_text')


def amount_cells(key: str, seeds: Summary) -> dict:
    """The median over seeds; in CSV files `<key>_bound` is 'or more' beside the number where it is a bound."""
    return {
        key: seeds.median,
        f'{key}_text': amount_text(seeds.median, seeds.is_bound),
        f'{key}_bound': 'or more' if seeds.is_bound else None,
    }


def range_text(seeds: Summary) -> str | None:
    """The least and the greatest of the seeds, in brackets; None for one seed."""
    if seeds.n == 1:
        return None
    ends = (seeds.low, seeds.low_is_bound), (seeds.high, seeds.high_is_bound)
    return f'[{", ".join(amount_text(*end) for end in ends)}]'


def factor_column(key: str, label: str) -> Column:
    """A column of `factor_cells`."""
    return Column(key, label, text=f'{key}_text')


def factor_cells(key: str, factor: Factor) -> dict:
    """A factor with its interval; in CSV files `<key>_bound`, `<key>_low` and `<key>_high` beside the number."""
    return {
        key: factor.value,
        f'{key}_text': str(factor),
        f'{key}_bound': factor.bound or None,
        f'{key}_low': factor.low,
        f'{key}_high': factor.high,
    }


def parts(amounts: Sequence[str] = (), factors: Sequence[str] = ()) -> list[Column]:
    """What the CSV file has of these columns beside their numbers."""
    names = [f'{key}_bound' for key in amounts]
    names += [f'{key}_{part}' for key in factors for part in ('bound', 'low', 'high')]
    return [Column(name, name) for name in names]
