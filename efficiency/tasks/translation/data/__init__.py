"""Pairs of sentences: where they are, how they become tokens, and batches."""
