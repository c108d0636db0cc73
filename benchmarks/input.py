"""How fast photographs become training batches, beside tf.data in one run, and how many cores feed a chip.

    TFDS_DATA_DIR=... python -m benchmarks.input --write

needs `pip install -c constraints.txt ".[bench,decode]"`. Both decode the 250 photographs of imagenet_sample from
memory, crop them at random to 224 pixels, mirror half of them and stack batches; tf.data by its fused decode-and-crop
(which does not antialias), ours by worker processes. Rounds alternate; each first empties what was made ahead.

On one core, without either: the same photographs decoded whole, and to an eighth of their side, which takes little
more than reading what is coded in them bit by bit. No decoder that must know what is in the lowest row leaves that out.

A chip takes so many photographs a second as 40 % of its peak of bfloat16 does of a train step's multiplications; the
cores are those that decode as many.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks import machine
from benchmarks.scaling_plan import PEAK_FLOPS, SHARE_OF_PEAK
from efficiency.count import count_network
from efficiency.data.batches import BatchSpan, RunBatches, TrainBatches
from efficiency.data.pipeline import TrainStream, default_workers
from efficiency.published.prices import peaks
from efficiency.tables import render
from efficiency.tasks.images.data import Examples, Source, catalogue, images
from efficiency.tasks.images.data.splits import StoredSplit

SIZE, BATCH = 224, 50
OURS, TF_DATA = 'ours, from memory', 'tf.data, from memory'
WHOLE, EIGHTH = 'decoding alone', 'decoding to an eighth'
NETWORKS = ('alexnet', 'resnet50', 'efficientnet_b0')
H100 = 'NVIDIA H100 80GB HBM3'


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


def decoded_per_second(encoded: list[bytes], reduced: int) -> float:
    """Photographs that one core decodes in a second."""
    before = time.perf_counter()
    for image in encoded:
        images.decode(image, reduced=reduced)
    return len(encoded) / (time.perf_counter() - before)


def per_chip(rate: float) -> list[dict]:
    """How many photographs a second a chip takes, and how many cores of that rate decode them."""
    of_h100 = next(each for each in peaks() if (each.device_kind, each.precision) == (H100, 'bfloat16'))
    rows = []
    for network in NETWORKS:
        flops = 2 * count_network(network, image_size=SIZE)['train_real_macs']
        for chip, peak in ((H100, 1e12 * of_h100.tflops), ('TPU v5e', PEAK_FLOPS)):
            taken = SHARE_OF_PEAK * peak / flops
            rows.append(
                {
                    'chip': chip, 'network': network, 'train_real_flops': flops, 'images_per_second': round(taken),
                    'cores': f'{taken / rate:.1f}',
                }
            )  # fmt: skip
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--batches', type=int, default=60, help='of 50 images, a round')
    parser.add_argument('--write', action='store_true', help='keep the results')
    arguments = parser.parse_args()
    source = catalogue.open_source('imagenet_sample', os.environ.get('TFDS_DATA_DIR'))
    stored = source.splits['validation']
    encoded, labels = zip(*(stored[i] for i in range(len(stored))), strict=True)
    cores = default_workers()
    streams = {
        OURS: ours(Examples(encoded, labels), source.num_classes, cores),
        'ours, from array_record': ours(stored, source.num_classes, cores),
        TF_DATA: tf_data(list(encoded)),
    }
    rates = {name: [] for name in (*streams, WHOLE, EIGHTH)}
    for number in range(arguments.rounds):
        for name, stream in streams.items():
            rates[name].append(images_per_second(stream, arguments.batches))
        for name, reduced in ((WHOLE, 1), (EIGHTH, 8)):
            rates[name].append(decoded_per_second(list(encoded), reduced))
        print(f'round {number}:', ', '.join(f'{name} {values[-1]:.0f}' for name, values in rates.items()), flush=True)
    for stream in streams.values():
        if isinstance(stream, TrainStream):
            stream.close()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    rows = [
        {
            'pipeline': name, 'images_per_second': f'{median:.0f}', 'cores': cores if name in streams else 1,
            'images_per_second_and_core': f'{median / (cores if name in streams else 1):.0f}',
            'over_tf_data': f'{median / medians[TF_DATA]:.3f}' if name in streams else '', 'rounds': arguments.rounds,
            'versions': machine.versions('nvidia-nvimgcodec-cu12', 'opencv-python-headless', 'grain', 'tensorflow'),
        }
        for name, median in medians.items()
    ]  # fmt: skip
    chips = per_chip(medians[OURS] / cores)
    print(render(rows, 'markdown'), render(chips, 'markdown'), sep='\n\n')
    if arguments.write:
        print(machine.write_results('input', rows), machine.write_results('input_chips', chips))


if __name__ == '__main__':
    main()
