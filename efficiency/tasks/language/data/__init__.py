"""Documents: where they are, how they become tokens, rows to train on, and windows to evaluate on."""
