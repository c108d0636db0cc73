"""Which examples of a chunk each update takes, of learners that go over a chunk several times."""

import jax
from ml_collections import ConfigDict


def passes(config: ConfigDict, key: jax.Array) -> jax.Array:
    """(updates, update batch) int32: every example once in some order, then every one in another, as far as needed."""
    total = config.updates * config.update_batch
    keys = jax.random.split(key, -(-total // config.batch_size))
    order = jax.vmap(lambda each: jax.random.permutation(each, config.batch_size))(keys)
    return order.reshape(-1)[:total].reshape(config.updates, config.update_batch).astype('int32')
