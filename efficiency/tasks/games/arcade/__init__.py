"""Small screens: MinAtar's games, learned from frames."""
