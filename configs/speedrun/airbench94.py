"""airbench94 with Muon (Jordan, 2024, arXiv:2404.00498 and https://github.com/KellerJordan/cifar10-airbench).

The public recipe for 94 % on CIFAR-10: 8 epochs of batches of 2,000; Muon at 0.24 for the convolutions, each scaled
to a fixed norm before its step; SGD for the head and the biases; no rate for the scales of batch norms, nor for the
whitening layer, but for its bias, which stops after three epochs; a linear fall to 0; labels smoothed by 0.2; a shift
of up to two pixels and alternating flips. It is 1.42e14 train macs, 6.9e8 of them for the whitening layer's patches.

Rates of SGD are the authors' x 2,000, as their loss is the sum over a batch and ours is the mean, and decays are theirs
by as much. Where it departs: float32, not float16; the whitening bias is under the schedule of all while it is trained,
which for theirs ends after the three epochs; where it stops the optimizer's state is new; Muon's momentum is as optax
has it, without the bias of its first steps. Evaluation is of one view; the authors report six:

    python -m efficiency.main --config=configs/speedrun/airbench94.py:cifar10
    python -m efficiency.main --config=configs/speedrun/airbench94.py:cifar10 --config.eval_views=mirrored_and_shifted
"""

from configs import common

STAYS = {'params': r'whiten/kernel|norm\d/scale', 'learning_rate': 0.0}


def get_config(dataset=None, batch_size=2000):
    config = common.paper_recipe('airbench94', dataset or 'cifar10', learning_rate=0.24)
    config.batch_size = batch_size
    config.num_epochs = 8.0
    config.schedule, config.warmup_epochs = 'linear', 0.0
    config.gradient_clip_norm = 0.0
    config.weight_decay = 0.0
    config.label_smoothing = 0.2
    config.augmentation = 'shift_alternating_flip'
    config.stop_at_target = False
    # The authors' rates are of a sum over the batch; a step takes this share of a weight at any rate.
    decay, head, bias = 2e-6 * batch_size, 0.67 * batch_size, 0.053 * batch_size
    trained = (
        {'params': '^head/', 'learning_rate': head, 'weight_decay': decay / head},
        {'params': 'bias', 'learning_rate': bias, 'weight_decay': decay / bias},
        {'params': r'conv\d/kernel', 'name': 'muon', 'momentum': 0.6, 'ns_steps': 3, 'fixed_norm': True},
    )
    sgd = {'name': 'sgd', 'momentum': 0.85, 'nesterov': True}
    config.optimizer = sgd | {'groups': (STAYS, *trained)}
    whitening_stays = {'params': 'whiten/', 'learning_rate': 0.0}
    config.stages = ((3.0, {'optimizer': sgd | {'groups': (whitening_stays, STAYS, *trained)}}),)
    return config
