"""How fast photographs become training batches, beside tf.data in one run.

    TFDS_DATA_DIR=... python -m benchmarks.input

needs `pip install -c constraints.txt ".[bench]"`. Both decode the 250 photographs of imagenet_sample from memory, crop
them at random to 224 pixels, mirror half of them and stack batches; tf.data by its fused decode-and-crop (which does
not antialias), ours by worker processes. Rounds alternate; each first empties what was made ahead.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks import machine
from efficiency.data.batches import BatchSpan, RunBatches, TrainBatches
from efficiency.data.pipeline import TrainStream, default_workers
from efficiency.tasks.images.data import Examples, Source, catalogue
from efficiency.tasks.images.data.splits import StoredSplit

SIZE, BATCH = 224, 50


def ours(examples, num_classes: int, workers: int) -> TrainStream:
    split = StoredSplit(examples, Source(num_classes, {}), SIZE)
    batches = TrainBatches(split, BATCH, 0, augmented_on_host=True)
    return TrainStream(RunBatches([BatchSpan(0, 0, BATCH, batches)]), 0, 10**6, workers)


def tf_data(encoded: list[bytes]) -> Iterator[np.ndarray]:
    import tensorflow as tf

    def decode(image):
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(image), tf.zeros([1, 0, 4]), aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0), max_attempts=10, use_image_if_no_bounding_boxes=True, min_object_covered=0.0,
        )  # fmt: skip
        window = tf.concat([begin[:2], size[:2]], 0)
        image = tf.image.resize(tf.io.decode_and_crop_jpeg(image, window, channels=3), (SIZE, SIZE))
        return tf.cast(tf.image.random_flip_left_right(image), tf.uint8)

    dataset = tf.data.Dataset.from_tensor_slices(encoded).shuffle(len(encoded)).repeat()
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2)
    return dataset.as_numpy_iterator()


def images_per_second(stream: Iterator, batches: int) -> float:
    for _ in range(4 + 4 * default_workers()):  # what was made ahead while the others were timed
        next(stream)
    before = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return batches * BATCH / (time.perf_counter() - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--batches', type=int, default=60, help='of 50 images, a round')
    arguments = parser.parse_args()
    source = catalogue.open_source('imagenet_sample', os.environ.get('TFDS_DATA_DIR'))
    stored = source.splits['validation']
    encoded, labels = zip(*(stored[i] for i in range(len(stored))), strict=True)
    streams = {
        'ours, from memory': ours(Examples(encoded, labels), source.num_classes, default_workers()),
        'ours, from array_record': ours(stored, source.num_classes, default_workers()),
        'tf.data, from memory': tf_data(list(encoded)),
    }
    rates = {name: [] for name in streams}
    for number in range(arguments.rounds):
        for name, stream in streams.items():
            rates[name].append(images_per_second(stream, arguments.batches))
        print(f'round {number}:', ', '.join(f'{name} {values[-1]:.0f}' for name, values in rates.items()), flush=True)
    for stream in streams.values():
        if isinstance(stream, TrainStream):
            stream.close()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    rows = [
        {
            'pipeline': name, 'images_per_second': f'{median:.0f}',
            'over_tf_data': f'{median / medians["tf.data, from memory"]:.3f}', 'rounds': arguments.rounds,
            'cores': os.cpu_count(),
            'versions': machine.versions('opencv-python-headless', 'grain', 'tensorflow'),
        }
        for name, median in medians.items()
    ]  # fmt: skip
    for row in rows:
        print(f'{row["pipeline"]:>24}: {row["images_per_second"]} images/s, {row["over_tf_data"]} of tf.data')
    print(machine.write_results('input', rows))


if __name__ == '__main__':
    main()
