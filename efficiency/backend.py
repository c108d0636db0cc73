"""What jax finds on this machine, and how it was told to compute: what would not do is said in one sentence."""

import contextlib
import functools
import glob
import os
import re
import subprocess
import sys

from efficiency import console
from efficiency.errors import UserError, shown

# Settings of jax that change what a run computes, which its config alone is to say, or that leave nothing to compile,
# as the environment gives them (JAX_DISABLE_JIT=1) or a config's file does. Beside them what does no harm.
_HARMLESS_GUARDS = (None, 'allow', 'log', 'log_explicit')
_SETTINGS = {
    'jax_disable_jit': (False,),
    'jax_no_execution': (False,),
    'jax_no_tracing': (False,),
    'jax_enable_x64': (False,),
    'jax_debug_nans': (False,),  # a run says itself where its loss is not finite
    'jax_debug_infs': (False,),
    'jax_default_prng_impl': ('threefry2x32',),
    'jax_threefry_partitionable': (True,),
    'jax_random_seed_offset': (0,),
    'jax_numpy_dtype_promotion': ('standard',),
    'jax_numpy_rank_promotion': ('allow', 'warn'),
    'jax_transfer_guard': _HARMLESS_GUARDS,
    'jax_transfer_guard_host_to_device': _HARMLESS_GUARDS,
    'jax_transfer_guard_device_to_host': _HARMLESS_GUARDS,
}
_ACCELERATORS = ('/dev/accel[0-9]*', '/dev/vfio/[0-9]*', '/dev/nvidia[0-9]*', '/dev/kfd')


def check_settings() -> None:
    """Checks how jax was told to compute; it is asked for no device.

    Raises:
        UserError: if a run would not be what its config says, or could not be compiled; XLA's flags included.
    """
    _check_flags_of_xla(os.environ.get('XLA_FLAGS', ''))
    try:
        import jax
    except ValueError as error:  # of a variable with a value that it does not know
        raise UserError(f'jax does not start with what the environment tells it: {error}') from error
    for name, allowed in _SETTINGS.items():
        value = jax.config.values.get(name, allowed[0])
        value = getattr(value, 'value', value)
        if value not in allowed:
            raise UserError(
                f'{name.upper()} is {shown(value)}; unset it, as a run is what its config alone says, and is compiled'
            )


@functools.cache
def _check_flags_of_xla(flags: str) -> None:
    """XLA ends the process at a flag that it does not know, so that another process is made to read them first."""
    if not flags:
        return
    code = 'from jaxlib import xla_client; print(xla_client.make_cpu_client().device_count())'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, check=False)
    if done.returncode == 0 and int(done.stdout.split()[-1]):
        return
    said = re.findall(r'^[EF]\d.*?\] (.*)', done.stderr.decode(errors='replace'), re.MULTILINE)
    reason = said[0].rstrip('.') if said else 'with them there is no CPU'
    raise UserError(f'XLA does not start with XLA_FLAGS={shown(flags)}: {reason}; mend or unset it')


def check_devices() -> None:
    """Checks that there are devices as JAX_PLATFORMS asks for, and how jax was told to compute.

    Raises:
        UserError: if there are none, or as `check_settings`.
    """
    check_settings()
    import jax

    name = next((name for name in ('jax_platform_name', 'jax_platforms') if jax.config.values.get(name)), None)
    asked = jax.config.values[name].split(',') if name else []
    if name == 'jax_platforms' and 'cpu' not in asked:
        # Beside an accelerator a host has a CPU, on which operations are checked (`efficiency.flops.check`).
        jax.config.update(name, ','.join([*asked, 'cpu']))
    # Where there is an accelerator, what its library says may be what matters.
    quiet = contextlib.nullcontext() if any(map(glob.glob, _ACCELERATORS)) else console.hushed()
    try:
        with quiet:
            found = jax.devices()[0].platform
    except RuntimeError as error:
        reason = re.sub(r' \((set JAX_PLATFORMS|you may need to).*', '', ' '.join(str(error).split())).rstrip('.')
        raise UserError(_none_found(name, asked, f' ({reason})')) from error
    if asked and found == 'cpu' and 'cpu' not in asked:
        raise UserError(_none_found(name, asked, ''))


def _none_found(name: str | None, asked: list[str], reason: str) -> str:
    if name is None:
        return f'jax finds no device here{reason}; JAX_PLATFORMS=cpu does without an accelerator'
    return f'{name.upper()}={",".join(asked)}: jax finds no such device here{reason}; unset it, or set it to cpu'


def count_on_cpu() -> None:
    """Has jax, in a process that only traces, look for no accelerator, and forget what would change the trace.

    For the commands that do so, and the processes that they start: where jax was imported before, nothing is done.
    """
    if 'jax' in sys.modules:
        return
    for name in (*_SETTINGS, 'jax_platform_name'):
        os.environ.pop(name.upper(), None)
    os.environ['JAX_PLATFORMS'] = 'cpu'
