"""Records in which a number is another, and whether that is found."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from efficiency import records
from efficiency.analysis.agreement import disagreements
from efficiency.analysis.recount import checked_config, miscounts, opened_data, other_data
from efficiency.errors import UserError


def numbers(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """The places in a record of all numbers but 0."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from numbers(value[key], (*place, key))
    elif isinstance(value, int | float) and not isinstance(value, bool) and value:
        yield place


def scaled(value: Any, factor: float) -> Any:
    """A number times the factor, whole where it was; None as it is."""
    return value if value is None else round(value * factor) if isinstance(value, int) else value * factor


def unnoticed(whole: records.Record, places: Sequence[tuple], data_dir: Any = None) -> set[str]:
    """Of places those keys, of which nobody notices that the number is ten times as large, or a tenth."""
    assert not _is_found(whole, data_dir), 'something is wrong with the record as it is'
    found = set()
    for *holders, key in places:
        for factor in (10, 0.1):
            record = copy.deepcopy(whole)
            holder = record
            for name in holders:
                holder = holder[name]
            holder[key] = scaled(holder[key], factor)
            if not _is_found(record, data_dir):
                found.add(key)
    return found


def _is_found(record: records.Record, data_dir: Any) -> bool:
    """Whether something is found to be wrong, by what is quickest first."""
    try:
        records.validate(record)
        config = checked_config(record)
        if next(disagreements(record), None):
            return True
        opened, forms = opened_data(record, config, print, data_dir)
    except (records.RecordError, UserError):
        return True
    return any(
        next(problems(), None)
        for problems in (
            lambda: disagreements(record, forms),
            lambda: other_data(record, config, print, opened),
            lambda: miscounts(record, config, print, opened),
        )
    )
