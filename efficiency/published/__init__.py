"""What others measured, and the baselines that our own runs are compared with: CSV files, a source on every row."""

import csv
import pathlib

BASELINES_FILE = pathlib.Path(__file__).parent / 'baselines.csv'
BASELINE_COLUMNS = (
    'dataset', 'fingerprint', 'metric', 'value', 'model', 'seeds', 'seeds_reached', 'examples', 'paper_macs',
    'train_macs', 'source',
)  # fmt: skip


def baselines() -> list[dict[str, str]]:
    """The rows of `baselines.csv`: what it takes the baseline network to reach a target, the median over seeds."""
    with open(BASELINES_FILE, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def baseline_for(dataset: str, metric: str, value: float) -> dict[str, str] | None:
    """The baseline for a target on a data set, None where none has been measured."""
    for row in baselines():
        if row['dataset'] == dataset and row['metric'] == metric and float(row['value']) == value:
            return row
    return None
