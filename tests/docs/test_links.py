"""Every link and every file that a page names is there, and no page is long."""

import re
import urllib.parse

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, README, named

LINKED = [*PAGES, *sorted((ROOT / 'launch').rglob('*.md'))]
FOLDERS = ('benchmarks', 'configs', 'docs', 'efficiency', 'launch', 'results', 'studies', 'tests')


def prose(path):
    """A page without its programs."""
    return re.sub(r'```.*?```', '', path.read_text(), flags=re.DOTALL)


def links(path):
    """Where its links lead, pictures too."""
    return re.findall(r'\]\(([^()\s]+)\)', prose(path))


def anchors(path):
    """What GitHub makes of its headings: lower case, no punctuation, a hyphen for a space."""
    headings = re.findall(r'^#+ (.+)', prose(path), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('path', LINKED, ids=named)
def test_links_lead_to_files_and_headings_that_are_there(path):
    for link in links(path):
        address = urllib.parse.urlsplit(link)
        if address.scheme:
            assert address.scheme == 'https', link
            continue
        target = path.parent / address.path if address.path else path
        assert target.exists(), link
        assert not address.fragment or address.fragment in anchors(target), link


@pytest.mark.parametrize('path', LINKED, ids=named)
def test_files_that_are_named_are_there(path):
    names = re.findall(rf'\b(?:{"|".join(FOLDERS)})/[\w/.]+\.(?:py|csv|md|sh|yaml)\b', prose(path))
    assert [name for name in names if not (ROOT / name).is_file() and not (path.parent / name).is_file()] == []


def test_every_page_is_reached_from_readme():
    reached, left = set(), [README]
    while left:
        page = left.pop().resolve()
        if page not in reached:
            reached.add(page)
            left += [page.parent / link.partition('#')[0] for link in links(page) if '.md' in link]
    assert set(LINKED) <= reached


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_a_page_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= (160 if path == README else 300)


def test_readme_has_an_answer_and_a_first_run_within_the_first_screen():
    screen = '\n'.join(README.read_text().splitlines()[:30])
    assert re.search(r'\*\*[\d.]+ x\*\*', screen)
    assert re.search(r'^    python3 -m venv .*efficiency\.main --config=configs/\w+\.py$', screen, re.MULTILINE)
