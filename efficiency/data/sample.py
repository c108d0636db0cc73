"""What a run keeps of a sample of its examples: digests with blanks between, of the source and of each example."""

# In place of the digest of an example that was damaged.
DAMAGED = '-'


def are_but_mended(kept: str | None, now: str | None) -> bool:
    """Whether two samples that were kept are of the same examples but for those damaged in one."""
    if kept is None or now is None or kept.count(' ') != now.count(' '):
        return False
    return all(one == other or DAMAGED in (one, other) for one, other in zip(kept.split(), now.split(), strict=True))
