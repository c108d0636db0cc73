"""What a reader wants first: an answer of each domain, measured and published apart."""

import datetime
from collections.abc import Sequence

from efficiency import source
from efficiency.analysis.document import Section


def answers_section(sections: Sequence[Section]) -> Section:
    """What sections say first, one paragraph after the other."""
    return Section('answers', 'In short', [answer for section in sections for answer in section.answers])


def colophon() -> str:
    """When a page was made, of which source, under which licence, and how it is cited."""
    state, version = source.git_state(), source.version()
    commit = f'commit {state["commit"]}{", with changes" if state["dirty"] else ""}' if state else 'of no commit'
    today = datetime.date.today()
    fields = {
        'title': 'efficiency: how much compute it takes to reach a known capability',
        'author': '{The efficiency contributors}', 'version': version or '', 'year': today.year, 'note': commit,
    }  # fmt: skip
    entry = ', '.join(f'{key} = {{{value}}}' for key, value in fields.items())
    return (
        f'Made on {today.isoformat()} by efficiency {version or ""} ({commit}); Apache-2.0. To cite it: '
        f'@software{{efficiency, {entry}}}'
    )
