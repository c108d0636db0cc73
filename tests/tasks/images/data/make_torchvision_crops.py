"""Makes torchvision_crops.npz: pixels of imagenet_sample as torchvision's evaluation transform sees them.

    TFDS_DATA_DIR=... python -m tests.tasks.images.data.make_torchvision_crops

needs `pip install torch==2.14.1 torchvision==0.29.1`. Prints how far `images.centre_crop` is from it.
"""

import io
import os

import numpy as np
import torchvision
from PIL import Image

from efficiency.tasks.images.data import catalogue, images
from tests.tasks.images.data.test_images import GOLDEN


def main():
    transform = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224)]
    )
    split = catalogue.open_source('imagenet_sample', os.environ['TFDS_DATA_DIR']).splits['validation']
    places = np.random.RandomState(0).randint(0, 224, (64, 2))
    pixels, means, differences = [], [], []
    for i in range(len(split)):
        encoded = split[i][0]
        crop = np.asarray(transform(Image.open(io.BytesIO(encoded)).convert('RGB')))
        pixels.append(crop[tuple(places.T)])
        means.append(crop.mean())
        differences.append(np.abs(images.centre_crop(encoded, 224).astype(int) - crop).mean())
    np.savez_compressed(GOLDEN, places=places, pixels=np.array(pixels), means=np.array(means))
    print(f'mean absolute difference, of 255: at most {max(differences):.4f} over {len(differences)} images')


if __name__ == '__main__':
    main()
