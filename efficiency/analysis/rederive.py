"""The paper's figures again, from the published ledger and our own counts.

Each printed figure of Hernandez & Brown 2020 (arXiv:2005.04305) and its posts stands beside two others: `derived`
repeats it by the paper's own route, from its epochs and its macs per image, unrounded; `one_convention` takes dense
multiply-adds of the networks themselves throughout, by our counts, and dates of publication. Where the two differ,
the paper's mixture of conventions is what made the difference.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from efficiency.analysis.paper_claims import BASELINE, Inputs, figures
from efficiency.published.points import Claim, Network, PublishedPoint
from efficiency.published.points import claims as read_claims
from efficiency.records import MACS_PER_TFS_DAY


@dataclasses.dataclass(frozen=True)
class Derived:
    """A printed figure, and what it should be.

    Attributes:
        claim: of `claims.csv`.
        label: where it is printed and what of, for people.
        printed, printed_text, unit: as there.
        derived: by the paper's own route; None where its inputs are not published.
        one_convention: in dense multiply-adds of the networks themselves; None where they are not known.
        depends_on: ids of the points that `derived` or `one_convention` changes with.
        why: what the differences come from; '' where there is none beyond rounding.
    """

    claim: str
    label: str
    printed: float
    printed_text: str
    derived: float | None
    one_convention: float | None
    unit: str
    depends_on: tuple[str, ...]
    why: str

    def text(self, value: float | None) -> str:
        """A value of this figure with one decimal more than is printed, '-' where there is none."""
        if value is None:
            return '-'
        whole, decimals, million = re.search(r'([\d,]+)\.?(\d*)( million)?', self.printed_text).groups(default='')
        # '7.5 million x' is 7,500,000.
        scale = self.printed / float(f'{whole.replace(",", "")}.{decimals}')
        return f'{value / scale:,.{len(decimals) + 1}f}{million}'


@dataclasses.dataclass(frozen=True)
class Table3Row:
    """A network of the paper's Table 3 (appendix B): training compute to AlexNet level, in petaflop of multiply-adds.

    Attributes:
        id: of the point.
        printed: as printed; the column is headed teraflop/s-days.
        paper_convention: 3 x epochs x the paper's macs per image x 1.28e6.
        one_convention: the same with our count of the network.
        one_convention_tfs_days_macs: that in teraflop/s-days.
        difference: of `one_convention` from `printed`, as a share of it.
        paper_factor, factor: how much less than AlexNet, by either.
        paper_gmacs, gmacs: per image.
        why: what the difference comes from.
    """

    id: str
    system: str
    model: str
    epochs: float
    printed: float
    paper_convention: float
    one_convention: float
    one_convention_tfs_days_macs: float
    difference: float
    paper_factor: float
    factor: float
    paper_gmacs: float
    gmacs: float
    why: str


def derive(
    points: Sequence[PublishedPoint], networks: Mapping[tuple[str, int], Network], claims: Mapping[str, Claim]
) -> list[Derived]:
    """Every printed figure that can be derived again, in the order of `claims`.

    Raises:
        KeyError: if a point, a network or a claim that figures are derived from is not there.
    """
    found = figures(Inputs(points, networks, claims))
    return [
        Derived(
            claim=claim.claim,
            label=f'{claim.where}: {claim.note}' if claim.note else claim.where,
            printed=claim.printed,
            printed_text=claim.printed_text,
            derived=found[claim.claim][0],
            one_convention=found[claim.claim][1],
            unit=claim.unit,
            depends_on=tuple(sorted(set(found[claim.claim][2]))),
            why=found[claim.claim][3],
        )
        for claim in claims.values()
    ]


def table3(
    points: Sequence[PublishedPoint],
    networks: Mapping[tuple[str, int], Network],
    claims: Mapping[str, Claim] | None = None,
) -> list[Table3Row]:
    """The paper's Table 3 from our counts and its epochs, in its order.

    Args:
        claims: where the paper's macs per image are; the committed ones where None.
    """
    inputs = Inputs(points, networks, read_claims() if claims is None else claims)
    return [_table3_row(inputs, point) for point in inputs.table3]


def _table3_row(inputs: Inputs, point: PublishedPoint) -> Table3Row:
    model = point.model
    paper, ours = inputs.paper_macs(model), inputs.macs(model)
    return Table3Row(
        id=point.id,
        system=point.system,
        model=model,
        epochs=point.epochs,
        printed=point.printed_compute,
        paper_convention=paper / 1e15,
        one_convention=ours / 1e15,
        one_convention_tfs_days_macs=ours / MACS_PER_TFS_DAY,
        difference=ours / 1e15 / point.printed_compute - 1,
        paper_factor=inputs.paper_macs(BASELINE) / paper,
        factor=inputs.macs(BASELINE) / ours,
        paper_gmacs=inputs.paper_gmacs(model),
        gmacs=inputs.gmacs(model),
        why=point.correction,
    )
