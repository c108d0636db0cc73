"""Perfect play where few moves are left: alpha-beta over boards as bits. For tests, and for all of tic-tac-toe."""

import functools
from collections.abc import Sequence


class Board:
    """A position of a game in which stones of two sides make a line.

    Attributes:
        height, width, line: of the board, and how many in a row win.
        drops: whether a stone falls to the lowest free row of its column, which is then the move.
    """

    def __init__(self, height: int, width: int, line: int, drops: bool):
        self.height, self.width, self.line, self.drops = height, width, line, drops
        self._lines = [
            functools.reduce(int.__or__, (1 << (row + i * down) * width + column + i * right for i in range(line)))
            for row in range(height) for column in range(width) for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
            if row + (line - 1) * down < height and 0 <= column + (line - 1) * right < width
        ]  # fmt: skip
        self._through = {
            1 << i: [each for each in self._lines if each >> i & 1] for i in range(height * width)
        }  # fmt: skip
        self._full = (1 << height * width) - 1
        self.value = functools.cache(self._value)

    def moves(self, taken: int) -> list[tuple[int, int]]:
        """The moves where those squares are taken, and the square that each takes, row 0 at the top."""
        if not self.drops:
            return [(i, 1 << i) for i in range(self.height * self.width) if not taken >> i & 1]
        found = []
        for column in range(self.width):
            for row in reversed(range(self.height)):
                square = 1 << row * self.width + column
                if not taken & square:
                    found.append((column, square))
                    break
        return found

    def won(self, stones: int) -> bool:
        """Whether one side's stones hold a line."""
        return any(stones & line == line for line in self._lines)

    def _wins(self, stones: int, square: int) -> bool:
        """Whether a stone there ends the game."""
        return any(stones & line == line for line in self._through[square])

    def _value(self, mine: int, theirs: int) -> int:
        """What the side to move gets by perfect play of both: 1, 0 or -1; the game is not over."""
        taken = mine | theirs
        moves = self.moves(taken)
        for _, square in moves:
            if self._wins(mine | square, square):
                return 1
        best = -1
        for _, square in moves:
            after = taken | square == self._full
            best = max(best, 0 if after else -self.value(theirs, mine | square))
            if best == 1:
                break
        return best

    def values(self, mine: int, theirs: int) -> dict[int, int]:
        """What each move gets the side to move, by perfect play from then on."""
        found = {}
        for move, square in self.moves(mine | theirs):
            if self._wins(mine | square, square):
                found[move] = 1
            elif mine | theirs | square == self._full:
                found[move] = 0
            else:
                found[move] = -self.value(theirs, mine | square)
        return found

    def after(self, moves: Sequence[int]) -> tuple[int, int]:
        """The stones of the side to move and of the other after moves from the empty board."""
        mine = theirs = 0
        for move in moves:
            mine, theirs = theirs, mine | dict(self.moves(mine | theirs))[move]
        return mine, theirs


CONNECT_FOUR = Board(6, 7, 4, drops=True)
TIC_TAC_TOE = Board(3, 3, 3, drops=False)
