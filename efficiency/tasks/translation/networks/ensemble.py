"""An ensemble: networks of one form that start from values of their own, and write by their mean.

It is trained as one network, so that what a record charges is the training of all, as the paper of Seq2Seq and all that
compare with it do not.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.tasks.translation.networks.registry import register
from efficiency.tasks.translation.networks.seq2seq import Seq2Seq

# What members remember of a source, or carry along, each its own.
EachOnes = tuple[Any, ...]


class Seq2SeqEnsemble(nn.Module):
    """Sutskever, Vinyals & Le, 2014, arXiv:1409.3215, section 3.6: five LSTMs that differ in their initial values.

    What it gives is the logarithm of the mean of its members' probabilities. In training it gives each member's own
    logits, (members, n, t, target_vocab), so that each learns as if it were alone, on batches in one order where the
    paper's had orders of their own.

                          parameters    dense multiply-adds forward, 25 + 25 tokens
        seq2seq_ensemble  14,202,400    226,304,000    (5 members, 4,000 tokens a language)

    Attributes:
        members: how many.
        layers, width, embedding, dropout: of each, see `Seq2Seq`.
    """

    source_vocab: int
    target_vocab: int
    members: int = 5
    layers: int = 1
    width: int = 256
    embedding: int = 128
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    def setup(self):
        sizes = {key: getattr(self, key) for key in ('layers', 'width', 'embedding', 'dropout', 'dtype')}
        make = partial(Seq2Seq, self.source_vocab, self.target_vocab, **sizes)
        self.networks = [make() for _ in range(self.members)]

    def __call__(self, source: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        each = [network(source, target, train) for network in self.networks]
        return jnp.stack(each) if train else _mean(each)

    def encode(self, source: jax.Array, train: bool = False) -> EachOnes:
        return tuple(network.encode(source, train) for network in self.networks)

    def start(self, memory: EachOnes, length: int) -> EachOnes:
        return tuple(network.start(own, length) for network, own in zip(self.networks, memory, strict=True))

    def step(
        self, memory: EachOnes, carry: EachOnes, token: jax.Array, position: jax.Array
    ) -> tuple[EachOnes, jax.Array]:
        each = zip(self.networks, memory, carry, strict=True)
        after, logits = zip(*(network.step(*own, token, position) for network, *own in each), strict=True)
        return after, _mean(logits)


def _mean(each: Any) -> jax.Array:
    """The logarithm of the mean of probabilities, of which logits are given; a constant apart."""
    return nn.logsumexp(jax.nn.log_softmax(jnp.stack(each)), axis=0)


seq2seq_ensemble = register(
    'seq2seq_ensemble', paper='arXiv:1409.3215', published='2014-09-10',
    options=('members', 'layers', 'width', 'embedding', 'dropout'),
)(Seq2SeqEnsemble)  # fmt: skip
