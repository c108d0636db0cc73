"""The networks: `create_model(name, ...)` makes one, `list_models(pattern)` lists them.

Each is a linen module with `vocabulary`, `context` and `dtype`, of tokens int32, of which 0 is padding, behind a row's
last only. Logits are float32, or float64 where `dtype` is.

    __call__(tokens (n, t), train) -> (n, t, vocabulary) logits
        Of what follows tokens[:, : i + 1], at i; or, where the objective is 'hidden', of what is hidden at i.
    __call__(source (n, s), tokens (n, t), train) -> (n, t, vocabulary) logits
        Where the objective is 'spans': of what follows tokens[:, : i + 1] in what was taken out of the source.

At most `context` tokens a row. In training dropout draws from the stream 'dropout', and what is to be added to the loss
is left in the collection 'losses'.
"""

# Importing a family registers its networks.
from efficiency.tasks.language.networks import bert, lstm, t5, transformer  # noqa: F401
from efficiency.tasks.language.networks.registry import Entry, create_model, list_models, model_entry, register

__all__ = ['Entry', 'create_model', 'list_models', 'model_entry', 'register']
