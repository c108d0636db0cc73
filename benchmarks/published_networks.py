"""Counts our networks for the published ledger, which is read without jax.

    python -m benchmarks.published_networks

writes `efficiency/published/networks.csv`: every network at its own image size, and ResNet-50 also at the sizes that
published runs train it at. Two minutes on one core.
"""

import csv
import io
from collections.abc import Iterator

from efficiency.costs import costs, counted_network
from efficiency.files import write_atomically
from efficiency.published.points import NETWORK_COLUMNS, NETWORKS_FILE
from efficiency.tasks.images.networks import list_models, model_entry

# DAWNBench and FFCV train ResNet-50 on small images first.
OTHER_SIZES = {'resnet50': (96, 128, 160, 176, 192, 256, 288, 299)}


def network_row(name: str, image_size: int | None = None) -> dict[str, str]:
    """The row of a network at an image size, its own where None: counts are per example, 1000 classes.

    Raises:
        UserError: if the network does not exist at that size.
    """
    entry, counted = model_entry(name), counted_network(name, image_size=image_size)
    row = {'model': name, 'paper': entry.paper, 'published': entry.published, **counted.sizes}
    row |= costs(counted)
    return {column: str(row[column]) for column in NETWORK_COLUMNS}


def network_rows() -> Iterator[dict[str, str]]:
    """All rows, by name and image size."""
    for name in list_models('*'):
        own = network_row(name)
        others = [network_row(name, size) for size in OTHER_SIZES.get(name, ())]
        yield from sorted([own, *others], key=lambda row: int(row['image_size']))


def main() -> None:
    """The command."""
    text = io.StringIO()
    writer = csv.DictWriter(text, NETWORK_COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(network_rows())
    write_atomically(NETWORKS_FILE, text.getvalue().encode())


if __name__ == '__main__':
    main()
