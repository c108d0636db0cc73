"""What the costs say: ledger, factors, frontier, trends, effective compute, figures and the page; never imports jax."""
