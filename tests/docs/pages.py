"""README and the pages in docs, and what they show: programs and commands."""

import re

from tests.conftest import ROOT

README = ROOT / 'README.md'
PAGES = [README, *sorted((ROOT / 'docs').glob('*.md'))]


def named(path):
    """A page's name, as links have it."""
    return str(path.relative_to(ROOT))


def programs(path):
    """The Python programs of a page, in order."""
    return re.findall(r'```python\n(.*?)```', path.read_text(), re.DOTALL)


def commands(path):
    """The command lines of a page, which are indented by four."""
    text = re.sub(r'```.*?```', '', path.read_text(), flags=re.DOTALL)
    return re.findall(r'^ {4}(?! |holds: |FAILS: |\(1 )(.+)', text, re.MULTILINE)
