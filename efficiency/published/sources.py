"""Whether the text of a source says where a figure can be read."""

import datetime
import re

# Of hosts that lead nowhere: reserved for examples, or a machine's own (RFC 2606, RFC 6761, RFC 6762).
_NOWHERE = re.compile(
    r'(?:.*\.)?(?:example(?:\.com|\.net|\.org)?|test|invalid|localhost|local|localdomain|internal|home|lan|corp|intranet)',
    re.I,
)
_HOST = r'(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}'
# With its scheme, or without it and with something behind the host: 'github.com/google-research/big_vision'.
_ADDRESS = re.compile(rf'(?<![\w@./-])(?:https?://({_HOST})(?::\d+)?(?=[/?#\s,;)>"\']|$)|({_HOST})/\w)', re.I)
_ARXIV = re.compile(
    r'\barxiv(?:: ?| |\.org/\w+/)(?:(\d{2})(0[1-9]|1[0-2])\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})', re.I
)
# The form that Crossref recommends for all DOIs of today.
_DOI = re.compile(r'(?<![\d.])10\.\d{4,9}/\w[^\s;]*')
_ISBN = re.compile(r'\bISBN(?:-1[03])?:? ?((?:97[89][- ]?)?(?:\d[- ]?){9}[\dX])\b', re.I)

# A reference begins with a name, after a particle perhaps: 'Hernandez', "O'Shea", 'van der Maaten', 'OpenAI'.
_NAME = re.compile(r"(?:(?:van|von|der|den|de|di|du|da|la|le|ten|ter|el|al) ?)*[^\W\d_a-z][\w'.-]+")
_YEAR = re.compile(r'(?<![\d.])(1[89]\d\d|20\d\d)(?![\d.]\d|\d)')
# What stands in a name's place where there is nobody to name.
_NOBODY = re.compile(
    r'\b(?:trust|unknown|anonymous|anon|todo|none|null|nan|nil|nobody|nowhere|somewhere|someone|na|me|my|mine|we|us|our|'
    r'ours|own|self|myself|this|that|the|it|see|blog|personal|private|confidential|internal|in-house|memory|guess|'
    r'estimate|rumou?r|hearsay|slack|mail|e-?mail|source|report|data|results?|measured|run|test|log|experiment|model|'
    r'table|figure|section|appendix|page|version|january|february|march|april|may|june|july|august|september|october|'
    r'november|december|chat|discord|fake|made|notebook|conversation|foo|bar|xxx+|asdf)\b',
    re.I,
)
_NOT_PUBLIC = re.compile(r'\b(?:trust me|unpublished|personal communication|citation needed|tbd|tba|n/a)\b', re.I)


def source_problem(text: str) -> str | None:
    """What is wrong with a source, None where others can find it.

    What stands before the first semicolon has to hold a web address with a host, an arXiv number, a DOI, an ISBN whose
    check digit is right, or a reference that begins with a name and has a year: 'Bixby 2012', 'Krizhevsky et al.,
    NeurIPS 2012'. Whether anything is there is not asked.
    """
    first = text.partition(';')[0].strip()
    if not first:
        return 'is empty; say where the figure can be read, as an arXiv number, a repository or an address'
    if _has_address(first) or _has_arxiv(first) or _DOI.search(first) or _has_isbn(first) or _is_reference(first):
        return None
    return (
        'says nowhere that the figure can be read; give a web address, an arXiv number, a DOI, an ISBN, or author and '
        "year, as 'arXiv:2005.04305 Table 3' or 'Krizhevsky et al., NeurIPS 2012'"
    )


def _has_address(text: str) -> bool:
    return any(not _NOWHERE.fullmatch(found[1] or found[2]) for found in _ADDRESS.finditer(text))


def _has_arxiv(text: str) -> bool:
    """Whether there is a number that arXiv may have given by now: its first digits are a year and a month."""
    today = datetime.date.today()
    return any(
        found[1] is None or (2000 + int(found[1]), int(found[2])) <= (today.year, today.month)
        for found in _ARXIV.finditer(text)
    )


def _has_isbn(text: str) -> bool:
    return any(_checks(re.sub(r'[- ]', '', found[1].upper())) for found in _ISBN.finditer(text))


def _checks(isbn: str) -> bool:
    """Whether the last digit of an ISBN is that of the others (ISO 2108)."""
    digits = [10 if digit == 'X' else int(digit) for digit in isbn]
    if len(digits) == 13:
        return 10 not in digits and sum(digit * (1, 3)[i % 2] for i, digit in enumerate(digits)) % 10 == 0
    return sum((10 - i) * digit for i, digit in enumerate(digits)) % 11 == 0


def _is_reference(text: str) -> bool:
    name, years = _NAME.match(text), _YEAR.findall(text)
    if not name or not any(int(year) <= datetime.date.today().year for year in years):
        return False
    # Up to the year, or to what is cited of theirs.
    who = re.split(r'[,(:]|\d{4}', text)[0]
    return not _NOBODY.search(who) and not _NOT_PUBLIC.search(text)
