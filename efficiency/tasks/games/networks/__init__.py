"""The networks of games, by name.

Of a board they make what to play and who wins: (n, height, width, planes) -> policy logits (n, actions) and the value
(n,) from -1 to 1 for the side to move. Of a screen they make what each action is worth, (n, actions), or policy logits
and what the screen is worth, (n,).
"""

from efficiency.tasks.games.networks import arcade, board  # noqa: F401  (they register)
from efficiency.tasks.games.networks.registry import Entry, create_model, list_models, model_entry, models_of, register

__all__ = ['Entry', 'create_model', 'list_models', 'model_entry', 'models_of', 'register']
