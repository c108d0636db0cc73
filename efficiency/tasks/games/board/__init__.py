"""Board games for two: self-play, search, and positions whose right moves are known."""
