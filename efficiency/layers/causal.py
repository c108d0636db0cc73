"""Causal attention as a CPU is quick at it: what the mask hides is left out, and scores stay in the cache.

A loop over the batch takes the queries of a few sequences in blocks, each against the keys up to its last row. For the
gradient the weights are computed again, from their scores and the logarithms of their sums, and no scores are kept (Dao
et al., 2022, arXiv:2205.14135, section 3.1).
"""

from functools import partial

import jax
import jax.numpy as jnp

from efficiency.layers.convolution import in_float32, map_over_chunks

# Rows of a block of queries, and bytes of a block's scores for the sequences that a step of the loop works on.
ROWS = 64
_CHUNK_BYTES = 2**19


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def causal_attention(query: jax.Array, keys: jax.Array, values: jax.Array, scale: float) -> jax.Array:
    """What each position sees in itself and those before, summed in float32 at least.

    Args:
        query, keys, values: (n, t, heads, d).
        scale: of the products.

    Returns:
        (n, t, heads, d).
    """
    return _forward(query, keys, values, scale)[0]


def _forward(query, keys, values, scale):
    """And the logarithms of the sums of exponentials, (n, heads, t, 1)."""

    def attend(query, keys, values):
        dtype = values.dtype
        query, keys, values = map(_heads_first, (query, keys, values))
        parts = []
        for start, stop in _blocks(query.shape[2]):
            scores = _scores(query * scale, keys, start, stop)
            largest = scores.max(-1, keepdims=True)
            powers = jnp.exp(scores - largest)
            total = powers.sum(-1, keepdims=True)
            seen = jnp.einsum('nhts,nhsd->nhtd', powers, values[:, :, :stop])
            parts.append((seen / total, largest + jnp.log(total)))
        y, sums = (jnp.concatenate(part, 2) for part in zip(*parts, strict=True))
        return y.swapaxes(1, 2).astype(dtype), sums

    return map_over_chunks(attend, _chunk(query.shape), query, keys, values)


def _forward_kept(query, keys, values, scale):
    y, sums = _forward(query, keys, values, scale)
    return y, (query, keys, values, y, sums)


def _backward(scale, kept, dy):
    def gradients(query, keys, values, y, sums, dy):
        dtype = query.dtype
        query, keys, values, y, dy = map(_heads_first, (query, keys, values, y, dy))
        query, means = query * scale, jnp.sum(dy * y, -1, keepdims=True)
        dquery, dkeys, dvalues = [], jnp.zeros_like(keys), jnp.zeros_like(values)
        for start, stop in _blocks(query.shape[2]):
            rows = slice(start, stop)
            weights = jnp.exp(_scores(query, keys, start, stop) - sums[:, :, rows])
            dweights = jnp.einsum('nhtd,nhsd->nhts', dy[:, :, rows], values[:, :, :stop])
            dscores = weights * (dweights - means[:, :, rows])
            dquery.append(jnp.einsum('nhts,nhsd->nhtd', dscores, keys[:, :, :stop]))
            dkeys = _added(dkeys, jnp.einsum('nhts,nhtd->nhsd', dscores, query[:, :, rows]))
            dvalues = _added(dvalues, jnp.einsum('nhts,nhtd->nhsd', weights, dy[:, :, rows]))
        found = jnp.concatenate(dquery, 2) * scale, dkeys, dvalues
        return tuple(a.swapaxes(1, 2).astype(dtype) for a in found)

    return map_over_chunks(gradients, _chunk(dy.shape), *kept, dy)


causal_attention.defvjp(_forward_kept, _backward)


def _heads_first(x):
    """(n, t, heads, d) -> (n, heads, t, d), in float32 at least."""
    return in_float32(x).swapaxes(1, 2)


def _blocks(length):
    """First row of each block, and the row behind its last."""
    return [(start, min(start + ROWS, length)) for start in range(0, length, ROWS)]


def _chunk(shape) -> int:
    _, length, heads, _ = shape
    return _CHUNK_BYTES // (4 * heads * min(ROWS, length) * length)


def _scores(query, keys, start, stop):
    """Of a block of queries with the keys up to its last row; what is hidden has the least."""
    scores = jnp.einsum('nhtd,nhsd->nhts', query[:, :, start:stop], keys[:, :, :stop])
    seen = jnp.arange(start, stop)[:, None] >= jnp.arange(stop)
    return jnp.where(seen, scores, jnp.finfo(scores.dtype).min)


def _added(total, rows):
    """The sum, to as many first rows as there are."""
    return total + jnp.pad(rows, ((0, 0), (0, 0), (0, total.shape[2] - rows.shape[2]), (0, 0)))
