"""Makes the Connect Four positions that strength is measured on, labelled by an exact solver.

    pip install bitbully==0.0.79 numpy
    python tools/connect_four_positions.py efficiency/tasks/games/board/connect_four_positions.npz

The solver is of AGPL-3: it goes into an environment of its own, and nothing of this package imports it. Each position
comes of 8 to 30 uniformly random moves from the empty board, is not decided, and has a move that throws its value away:
won, drawn or lost for the side to move under perfect play by both. A move is right if it keeps that value. In a lost
position every move is right, so that none is among them. The file has

    moves  (2000, 30) int8, the columns played, -1 after the last
    right  (2000, 7) bool, which columns keep the value
    value  (2000,) int8, 1 won or 0 drawn for the side to move
"""

import sys

import numpy as np

COUNT, FEWEST, MOST, SEED = 2000, 8, 30, 0


def main(path: str) -> None:
    """Writes the file."""
    from bitbully import BitBully, Board

    solver, draw = BitBully(), np.random.default_rng(SEED)
    moves, right, values = np.full((COUNT, MOST), -1, np.int8), np.zeros((COUNT, 7), bool), np.zeros(COUNT, np.int8)
    seen, found = set(), 0
    while found < COUNT:
        board, played = Board(), []
        for _ in range(draw.integers(FEWEST, MOST + 1)):
            if board.is_game_over():
                break
            played.append(int(draw.choice(board.legal_moves())))
            board.play(played[-1])
        if board.is_game_over() or board.to_string() in seen:
            continue
        scores = solver.score_all_moves(board)
        after = {column: int(np.sign(score)) for column, score in scores.items()}
        best = max(after.values())
        if best == min(after.values()):
            continue
        seen.add(board.to_string())
        moves[found, : len(played)] = played
        right[found, [column for column, value in after.items() if value == best]] = True
        values[found] = best
        found += 1
    np.savez_compressed(path, moves=moves, right=right, value=values)


if __name__ == '__main__':
    main(sys.argv[1])
