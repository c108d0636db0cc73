"""A source is where others can find the figure: an address, a number that leads to one, or a reference."""

import csv

import pytest

from efficiency.published.points import POINTS_FILE
from efficiency.published.sources import source_problem


def test_every_source_of_the_ledger_is_one():
    with open(POINTS_FILE, encoding='utf-8', newline='') as file:
        sources = [row['source'] for row in csv.DictReader(file)]
    assert len(sources) > 250
    assert not [source for source in sources if source_problem(source)]


@pytest.mark.parametrize(
    'source',
    [
        'https://proceedings.mlr.press/v97/tan19a.html', 'https://user.github.io', 'https://bücher.de/netze',
        'github.com/google-research/big_vision', 'arXiv:2005.04305', 'arXiv 2005.04305v2 Table 3', 'arXiv:cs/0112017',
        'doi:10.1038/nature24270', '10.1145/3065386', 'ISBN 978-0-262-03561-3', 'ISBN 0-306-40615-2', 'Bixby 2012',
        'Krizhevsky et al., NeurIPS 2012', 'Hernandez & Brown (2020), section 3', "O'Shea 2015",
        'van der Maaten & Hinton 2008', 'LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86, 1998',
        'Chen et al. 2020, Big self-supervised models', 'arXiv:2005.04305; date: Epoch AI',
    ],
)  # fmt: skip
def test_what_others_can_find_is_a_source(source):
    assert source_problem(source) is None


@pytest.mark.parametrize(
    'source',
    [
        '', ' ', '-', '?', 'trust me', 'n/a', 'my blog', 'my blog 2020', 'My Blog, 2020', 'unknown', 'Unknown 2021',
        'TBD', 'TBD 2020', 'see above', 'Smith', '2020', 'me, 2020', 'Smith 3012', 'personal communication, 2020',
        'Smith, personal communication, 2020', 'http://', 'https://', 'http://x', 'http://localhost/x', 'https://a.b',
        'http://127.0.0.1/x', 'https://example.com/x', 'https://results.local', 'file:///home/me/run.json',
        'github.com', 'me@mail.com', 'results/run.json', 'arXiv:', 'arXiv:1', 'arXiv:2013.00001', 'doi:', 'ISBN',
        'ISBN 978-0-262-03561-4', 'trust me; date: arXiv:1512.03385',
    ],
)  # fmt: skip
def test_what_leads_nobody_anywhere_is_none(source):
    assert source_problem(source)
