"""Makes golden_logits.npz: the logits that torch's networks give for weights and images drawn from names.

    pip install -c constraints.txt -e ".[test,crosscheck]" && python -m tests.tasks.images.networks.make_golden

The first 8 of 1000 logits of two images at 96 pixels, in evaluation.
"""

import numpy as np
import torch

from benchmarks.torch_networks import published
from tests.tasks.images.networks.crosscheck import seeded_images, seeded_state
from tests.tasks.images.networks.test_crosscheck import GOLDEN, GOLDEN_SIZE, REFERENCED, shapes_of


def main():
    images = torch.from_numpy(seeded_images(GOLDEN_SIZE).transpose(0, 3, 1, 2).copy())
    golden = {}
    for name in REFERENCED:
        reference = published(name)
        _, shapes = shapes_of(name, GOLDEN_SIZE)
        state = {key: torch.from_numpy(value) for key, value in seeded_state(name, shapes).items()}
        missing, unexpected = reference.load_state_dict(state, strict=False)
        assert not unexpected
        assert all(key.endswith('num_batches_tracked') for key in missing), missing
        with torch.no_grad():
            golden[name] = reference.double().eval()(images.double())[:, :8].numpy()
        print(name, golden[name][0, :3])
    np.savez_compressed(GOLDEN, **golden)


if __name__ == '__main__':
    main()
