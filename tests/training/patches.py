"""Code that runs in a process of the main command before it does: what happens there is what a test needs."""

import os

# Leaves time to be caught between one checkpoint and the next.
SLOW_STEPS = """
from efficiency.training.trainer import Trainer
take = Trainer._take_step
def slowly(self, *args):
    if self.run.steps > 4:
        time.sleep(0.2)
    return take(self, *args)
Trainer._take_step = slowly
"""


def with_patch(folder, code):
    """The environment of a process of the main command in which that code runs before it; makes the folder."""
    folder.mkdir()
    lines = ['import os, sys, time', "if 'efficiency.main' in ' '.join(sys.orig_argv):", *code.strip('\n').splitlines()]
    (folder / 'sitecustomize.py').write_text('\n    '.join([lines[0] + '\n' + lines[1], *lines[2:]]) + '\n')
    return {'PYTHONPATH': f'{folder}:{os.getcwd()}'}
