"""What networks are trained on. `register_dataset`, `Source` and `Examples` are for data sets of your own."""

from efficiency.tasks.images.data.sources import Examples as Examples
from efficiency.tasks.images.data.sources import Source as Source
from efficiency.tasks.images.data.sources import register_dataset as register_dataset
