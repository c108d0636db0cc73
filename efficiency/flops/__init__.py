"""What programs cost: an exact count of multiply-adds, and XLA's counts beside it."""

from efficiency.flops.check import DisagreementError, check_against_xla
from efficiency.flops.counts import Count, Kernel, Operation
from efficiency.flops.jaxpr import count, count_jaxpr
from efficiency.flops.tracing import CountError, tracing

__all__ = [
    'Count', 'CountError', 'DisagreementError', 'Kernel', 'Operation', 'check_against_xla', 'count', 'count_jaxpr',
    'tracing',
]  # fmt: skip
