"""Evaluation alone: what weights that are there already come to."""

import math
import os

from ml_collections import ConfigDict

from efficiency import console
from efficiency.errors import RunError, UserError
from efficiency.training import hosts
from efficiency.training.cache import use_compilation_cache
from efficiency.training.programs import evaluating
from efficiency.training.recipe import opened


def evaluate(config: ConfigDict, data_dir: str | os.PathLike | None = None) -> dict[str, float]:
    """Evaluates the weights of `config.init_from` on the evaluation split; nothing is trained or kept.

    Returns:
        'loss' and the task's metrics, and 'examples'.

    Raises:
        UserError: for a mistake in the config, or a file that holds no weights of the network.
        RunError: if the loss is not finite, as of negative variances.
    """
    use_compilation_cache()
    recipe = opened(config, data_dir, trains=False)
    if not recipe.config.init_from:
        raise UserError('what is to be evaluated? Pass a safetensors file of weights as --config.init_from')
    weights = recipe.task.weights()
    recipe.agree('the weights', weights)
    variables = recipe.devices.put_state(weights)
    evaluator = recipe.task.evaluator(recipe.devices)
    with evaluating(recipe.config.precision):
        evaluator.compile(variables)
    hosts.meet()
    with console.hushed():  # of images that do not decode
        found = evaluator(variables)
    loss = found.metrics['loss']
    if not math.isfinite(loss):
        raise RunError(f'the evaluation loss is {loss}: {recipe.config.init_from} holds weights that cannot be')
    return found.metrics | {'examples': found.examples}
