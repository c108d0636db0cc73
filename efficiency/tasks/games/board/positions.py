"""Positions whose right moves are known, on which strength is measured without anybody's model.

A move is right if it keeps the position's value under perfect play. Only positions count in which some move does not.
Those of Connect Four were labelled once by an exact solver (`tools/connect_four_positions.py`); of tic-tac-toe there
are few, and all are solved when they are asked for. What matches begin from is here, too.
"""

import functools
import hashlib
from importlib import resources
from typing import NamedTuple

import numpy as np

from efficiency.tasks.games.board import solver

_FILE = 'connect_four_positions.npz'
_BOARDS = {'connect_four': solver.CONNECT_FOUR, 'tic_tac_toe': solver.TIC_TAC_TOE}


class Positions(NamedTuple):
    """Positions, n of them.

    Attributes:
        moves: (n, plies) int8, what was played from the beginning, -1 after the last.
        right: (n, actions) bool.
        value: (n,) int8, of the side to move: 1 won, 0 drawn, -1 lost.
    """

    moves: np.ndarray
    right: np.ndarray
    value: np.ndarray

    @property
    def digest(self) -> str:
        """sha256 of all of it."""
        found = hashlib.sha256()
        for array in self:
            found.update(f'{array.dtype} {array.shape}'.encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def positions_of(game: str) -> Positions:
    """Those of a game, by its name."""
    return _tic_tac_toe() if game == 'tic_tac_toe' else _connect_four()


def _connect_four() -> Positions:
    with resources.files(__package__).joinpath(_FILE).open('rb') as file, np.load(file) as arrays:
        return Positions(arrays['moves'], arrays['right'], arrays['value'])


def _tic_tac_toe() -> Positions:
    """Every position that can come about, once, by the first line of play that leads there."""
    board, reached, found = solver.TIC_TAC_TOE, {(0, 0): ()}, []
    for (mine, theirs), moves in _grown(board, reached):
        values = board.values(mine, theirs)
        best = max(values.values())
        if min(values.values()) < best:
            right = [values.get(move, -2) == best for move in range(9)]
            found.append(([*moves, *[-1] * (9 - len(moves))], right, best))
    moves, right, value = zip(*found, strict=True)
    return Positions(np.array(moves, np.int8), np.array(right), np.array(value, np.int8))


def _grown(board, reached):
    """All positions that are not decided, from those reached, with how they were."""
    while reached:
        yield from reached.items()
        reached = _following(board, reached)


def _following(board, reached):
    """The positions one move after those reached that are not decided, each once, with how they are reached."""
    following = {}
    for (mine, theirs), moves in reached.items():
        for move, square in board.moves(mine | theirs):
            full = (mine | theirs | square).bit_count() == board.height * board.width
            if not board.won(mine | square) and not full:
                following.setdefault((theirs, mine | square), (*moves, move))
    return following


@functools.cache
def distinct_openings(game: str, count: int, fewest_plies: int = 2) -> np.ndarray:
    """Moves that lead to all the positions there are after so many plies, each once: at least `count` of them.

    Args:
        game: its name.
        count: up to 512.
        fewest_plies: that they have; more where these have too few positions.

    Returns:
        (n, plies) int32.
    """
    board, reached, plies = _BOARDS[game], {(0, 0): ()}, 0
    while plies < fewest_plies or len(reached) < count:
        reached, plies = _following(board, reached), plies + 1
        if not reached:
            raise ValueError(f'{game} has never {count} positions after as many plies')
    return np.array(list(reached.values()), np.int32)
