"""What programs cost: an exact count of multiply-adds, and XLA's counts beside it."""

from efficiency.flops.check import DisagreementError, check_against_xla
from efficiency.flops.jaxpr import Count, CountError, Operation, count, count_jaxpr

__all__ = ['Count', 'CountError', 'DisagreementError', 'Operation', 'check_against_xla', 'count', 'count_jaxpr']
