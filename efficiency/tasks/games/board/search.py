"""Search of mctx on the rules of a game: by PUCT, as AlphaGo Zero, and by Gumbel and sequential halving.

All games of a batch search in lockstep: each simulation evaluates one leaf of every game by the network, also where
that leaf is the end of a game, or the game has ended already. It is counted as any other, as it is computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.tasks.games.board.game import Game, State, reward_of
from efficiency.tasks.games.needs import needed

# (params, positions (n, height, width, planes)) -> (policy logits (n, actions), values (n,)).
Network = Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]
# The same of states, which may draw: (params, state, key) -> ...
Evaluate = Callable[[Any, State, jax.Array], tuple[jax.Array, jax.Array]]
_ILLEGAL = -1e9


class Found(NamedTuple):
    """What a search found.

    Attributes:
        weights: (n, actions), what it says each move is worth playing, summing to 1: shares of the visits by PUCT, and
            the improved policy by Gumbel, whose visits are few.
        action: (n,) int32, the move it would play.
    """

    weights: jax.Array
    action: jax.Array


def network_of(module: nn.Module) -> Network:
    """A module as search calls it."""
    return lambda params, positions: module.apply({'params': params}, positions, train=False)


def seeing(network: Network) -> Evaluate:
    """A network of what search holds."""
    return lambda params, state, key: network(params, state.observation)


def searched(
    game: Game,
    evaluate: Evaluate,
    kind: str,
    simulations: int,
    params: Any,
    state: State,
    key: jax.Array,
    *,
    noise: tuple[float, float] = (0.0, 1.0),
    gumbel: float = 0.0,
    puct: float = 1.25,
) -> Found:
    """Searches a batch of positions.

    Args:
        game: its rules.
        evaluate: of `params`; what it says of the moves that are not legal means nothing.
        kind: 'puct' or 'gumbel'.
        simulations: leaves that are evaluated, beside the root.
        params: of the network.
        state: the positions.
        key: what it draws from.
        noise: of PUCT at the root, the share that Dirichlet noise has of the prior, and its alpha.
        gumbel: the scale of the Gumbel noise, 1 for exploring and 0 for playing.
        puct: the constant of PUCT, c_init of AlphaZero.
    """
    mctx = needed('mctx')

    def prior(params, state, key):
        logits, value = evaluate(params, state, key)
        # Illegal moves inside the tree, too; mctx itself masks them at the root alone.
        return jnp.where(state.legal_action_mask, logits, _ILLEGAL), value

    def step(params, key, action, state):
        player = state.current_player
        state = game.play(state, action)
        logits, value = prior(params, state, key)
        # The other side moves next, whose gain is this one's loss; after the end there is nothing.
        found = mctx.RecurrentFnOutput(
            reward=reward_of(state, player),
            discount=jnp.where(state.terminated, 0.0, -1.0),
            prior_logits=logits,
            value=jnp.where(state.terminated, 0.0, value),
        )
        return found, state

    key_root, key = jax.random.split(key)
    logits, value = prior(params, state, key_root)
    root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=state)
    illegal = ~state.legal_action_mask
    if kind == 'gumbel':
        found = mctx.gumbel_muzero_policy(
            params, key, root, step, simulations, invalid_actions=illegal, gumbel_scale=gumbel,
            qtransform=mctx.qtransform_completed_by_mix_value,
        )  # fmt: skip
        return Found(found.action_weights, found.action)
    fraction, alpha = map(float, noise)
    found = mctx.muzero_policy(
        params, key, root, step, simulations, invalid_actions=illegal, dirichlet_fraction=fraction,
        dirichlet_alpha=alpha, pb_c_init=puct, temperature=0.0,
        qtransform=_shares_of_a_win,
    )  # fmt: skip
    return Found(found.action_weights, found.action)


def _shares_of_a_win(tree: Any, node: jax.Array) -> jax.Array:
    """(actions,) what each move is worth from 0 to 1; one that was not tried is thought a draw, as in AlphaGo Zero.

    One that is not legal is worth less than any loss: thought a draw it would be tried wherever the others lose.
    """
    shares = jnp.where(tree.children_visits[node] > 0, (tree.qvalues(node) + 1) / 2, 0.5)
    return jnp.where(tree.embeddings.legal_action_mask[node], shares, -1.0)
