"""The networks: `create_model(name, ...)` makes one, `list_models(pattern)` lists them."""

# Importing a family registers its networks.
from efficiency.tasks.images.networks import (  # noqa: F401
    airbench,
    alexnet,
    densenet,
    efficientnet,
    fixup,
    googlenet,
    inception_bn,
    lenet,
    mobilenet,
    resnet,
    shufflenet,
    shufflenet_v2,
    squeezenet,
    tiny,
    vgg,
)
from efficiency.tasks.images.networks.registry import Entry, create_model, list_models, model_entry, register

__all__ = ['Entry', 'create_model', 'list_models', 'model_entry', 'register']
