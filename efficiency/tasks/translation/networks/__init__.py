"""The networks: `create_model(name, ...)` makes one, `list_models(pattern)` lists them.

Each is a linen module with `source_vocab`, `target_vocab` and `dtype`, of the methods below. Tokens are int32, the
first of them those of `efficiency.data.tokens`: 0 is padding, after a sentence's last token only, 1 stands
before a target's first token and 2 after its last, 3 is what is unknown. Logits are float32, or float64 where `dtype`
is. No logits depend on how much padding there is.

    __call__(source (n, s), target (n, t), train) -> (n, t, target_vocab) logits
        Of what follows target[:, : i + 1], at i. In training dropout draws from the stream 'dropout', and what has
        members gives each one's logits, (members, n, t, target_vocab).
    encode(source, train=False) -> memory
        What decoding needs of the source.
    start(memory, length) -> carry
        Before the first of at most `length` target tokens.
    step(memory, carry, token (n,), position) -> (carry, (n, target_vocab) logits)
        The same logits as the call's, a token at a time: `position` is a whole number, 0 for the first.

A network that knows no more than so many positions has them as `positions`.

Every leaf of a memory and of a carry has n rows, one for each sentence, which a search may repeat and reorder.
"""

# Importing a family registers its networks.
from efficiency.tasks.translation.networks import (  # noqa: F401
    conv_s2s,
    ensemble,
    gnmt,
    seq2seq,
    seq2seq_attention,
    transformer,
)
from efficiency.tasks.translation.networks.registry import Entry, create_model, list_models, model_entry, register

__all__ = ['Entry', 'create_model', 'list_models', 'model_entry', 'register']
