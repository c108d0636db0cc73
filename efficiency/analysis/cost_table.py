"""Time, money and energy to a target by kind of device, beside compute (Coleman et al., 2017, DAWNBench)."""

from collections import defaultdict
from collections.abc import Mapping

from efficiency.analysis.cells import amount_cells, amount_column, amount_text, parts
from efficiency.analysis.document import Column, Table, address
from efficiency.analysis.measured_tables import Found
from efficiency.analysis.runs import seeds_of
from efficiency.analysis.survival import Summary, summary_over_seeds
from efficiency.published.prices import Price

_SECONDS_AN_HOUR = 3600
_COLUMNS = (
    Column('system', 'system'),
    Column('device', 'trained on'),
    amount_column('seconds', 'train seconds'),
    amount_column('device_hours', 'device hours'),
    amount_column('usd', 'US dollars'),
    amount_column('kwh', 'kWh'),
    Column('seeds', 'seeds'),
    Column('priced_at', 'priced as', link='href'),
)


def cost_table(name: str, found: Found, prices: Mapping[str, Price]) -> Table:
    """What it takes each system on each kind of device that it was trained on, medians over seeds.

    Args:
        name: of the target, for the table's.
        found: the systems' runs and what each took, in the order of the rows.
        prices: by kind of device, see `efficiency.published.prices`.
    """
    rows, unpriced = [], set()
    for system, crossings in found.items():
        by_device = defaultdict(list)
        for run, crossing in crossings:
            by_device[run.device].append((run, crossing))
        for device, some in sorted(by_device.items()):
            count, _, kind = device.partition(' x ')
            seconds = summary_over_seeds(seeds_of(some, 'train_seconds'))
            hours = seconds.median * int(count) / _SECONDS_AN_HOUR
            if (price := prices.get(kind)) is None:
                unpriced.add(kind)
            rows.append(
                {
                    'system': system.name, 'device': device, **amount_cells('seconds', seconds),
                    **_as_bounded('device_hours', hours, seconds),
                    **_as_bounded('usd', hours * price.usd_per_hour if price else None, seconds),
                    **_as_bounded('kwh', hours * price.watts / 1000 if price else None, seconds), 'seeds': len(some),
                    'priced_at': _told(price) if price else None,
                    'href': address(price.source) if price else None,
                }
            )  # fmt: skip
    text = (
        'Seconds are those of training steps up to the first evaluation at the target, on machines that may have had '
        'other work; they depend on the device and on the program, and compute does not. Money and energy are device '
        'hours at a list price and at the most that the device may draw, without its host and cooling: --prices=FILE '
        'takes a list of your own.'
    )
    if unpriced:
        text = f'{text} Not in the list: {", ".join(sorted(unpriced))}.'
    return Table(
        f'cost-{name}', 'Time, money and energy', _COLUMNS, rows, text, parts(['seconds', 'device_hours', 'usd', 'kwh'])
    )


def _as_bounded(key: str, value: float | None, of: Summary) -> dict:
    """What follows from an amount is a bound where that is one."""
    is_bound = of.is_bound and value is not None
    return {key: value, f'{key}_text': amount_text(value, is_bound), f'{key}_bound': 'or more' if is_bound else None}


def _told(price: Price) -> str:
    return f'{price.usd_per_hour:g} dollars an hour, {price.watts:g} W ({price.date})'
