"""The cloze (Taylor, 1953): what is hidden in a text, by how much of it is guessed and how likely it was."""

import os
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from efficiency.metrics import Metric
from efficiency.tasks import register_task
from efficiency.tasks.language import DEFAULTS, PERPLEXITY, SETTINGS, check_names, outline
from efficiency.values import number

if TYPE_CHECKING:
    from efficiency.tasks.language.task import Language


@register_task(
    'cloze', metrics=(Metric('accuracy', 'share', True, 0, 1), PERPLEXITY),
    settings=SETTINGS | {'hidden_share': number(0.01, 0.9), 'hidden_span': number(1, 100)},
    defaults=DEFAULTS | {'hidden_share': 0.15, 'hidden_span': 3.0}, stage_keys=('z_loss',), check_names=check_names,
    outline=outline, networks='efficiency.tasks.language.cloze_alone',
)  # fmt: skip
def _open(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'Language':
    from efficiency.tasks.language.task import opened

    return opened(config, data_dir)
