"""The networks: `create_model(name, ...)` makes one, `list_models(pattern)` lists them."""

from efficiency.models import alexnet, shufflenet  # noqa: F401  (importing a family registers its networks)
from efficiency.models.registry import Entry, create_model, list_models, model_entry, register

__all__ = ['Entry', 'create_model', 'list_models', 'model_entry', 'register']
