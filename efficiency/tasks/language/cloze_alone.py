"""As `efficiency.tasks.language.alone`, of the networks that are asked for what is hidden."""

from efficiency.tasks.language.alone import SIZES, alone, model_entry, models_of

__all__ = ['SIZES', 'alone', 'list_models', 'model_entry']


def list_models(pattern: str = '*') -> list[str]:
    """Names of the networks that are asked for what is hidden and match a shell pattern, sorted."""
    return models_of(('hidden', 'spans'), pattern)
