"""What XLA says of whole programs: its own floats, a loop's body counted once."""

import jax


def flops_when_lowered(traced: jax.stages.Traced) -> float | None:
    """XLA's flops of a traced program before it compiles, over all devices, in the formulations of accelerators.

    Twice the real multiply-adds, those in a loop once, and element-wise work. None where XLA does not say.
    """
    # As for a TPU, which takes no TPU; a CPU has formulations of its own.
    analysis = traced.lower(lowering_platforms=('tpu',)).cost_analysis()
    return (analysis or {}).get('flops')


def flops_when_compiled(compiled: jax.stages.Compiled, devices: int) -> float | None:
    """XLA's flops of an executable, over all of its devices; None where XLA does not say.

    Args:
        devices: how many run it, each its part, of which alone XLA speaks.
    """
    flops = (compiled.cost_analysis() or {}).get('flops')
    # XLA reports -1 for what it cannot analyse.
    return flops * devices if flops is not None and flops > 0 else None
