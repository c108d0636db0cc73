"""Our counts of networks beside those that other frameworks make of torchvision's and timm's."""

from collections.abc import Sequence
from typing import Any

from efficiency.costs import counted_network
from efficiency.errors import UserError
from efficiency.flops.frameworks import check_frameworks, compare
from efficiency.tasks.images.networks import model_entry
from efficiency.tasks.images.networks.small import LARGEST_SMALL_IMAGE
from efficiency.tasks.images.networks.torch_networks import check_published, published

COLUMNS = ('model', 'image_size', 'framework', 'pass', 'our_dense_macs', 'their_macs', 'difference', 'reason')


def compare_networks(
    names: Sequence[str], frameworks: Sequence[str], image_size: int | None = None, num_classes: int = 1000
) -> list[dict[str, Any]]:
    """Every network's counts beside those of other frameworks, for one example.

    Args:
        names: see `efficiency.tasks.images.networks.list_models`.
        frameworks: names of `efficiency.flops.frameworks.FRAMEWORKS`.
        image_size: pixels a side, above 64; each network's own where None.
        num_classes: width of the last layer.

    Returns:
        By the names of `COLUMNS`, a row for each framework and pass, see `efficiency.flops.frameworks.compare`; for a
        network that there is no other of, or not at that size, one row of nulls and the reason.

    Raises:
        UserError: for a framework that there is not, or that is not installed.
    """
    check_frameworks(frameworks)
    rows = []
    for name in names:
        size = image_size or model_entry(name).image_size
        row = dict.fromkeys(COLUMNS) | {'model': name, 'image_size': size}
        try:
            check_published(name)
            if size <= LARGEST_SMALL_IMAGE:
                raise UserError(f'up to {LARGEST_SMALL_IMAGE} pixels ours is the small-image form, which is not theirs')
            counted = counted_network(name, image_size=size, num_classes=num_classes)
        except UserError as error:
            rows.append(row | {'reason': str(error)})
            continue
        compared = compare(
            lambda name=name: published(name, num_classes), size, counted.forward, counted.train, frameworks
        )
        rows += [row | found for found in compared]
    return rows
