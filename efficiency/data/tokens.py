"""The tokens that every vocabulary begins with."""

PADDING, BEGIN, END, UNKNOWN = range(4)
