"""How examples become batches, whatever is in them, and are made ahead of the step that needs them."""
