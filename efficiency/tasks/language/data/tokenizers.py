"""Documents as tokens: their bytes, or pieces learned of the training documents; and where each document ends."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from efficiency.data import vocabulary
from efficiency.data.tokens import END, UNKNOWN

# What a config says for bytes, in place of how many pieces there are.
BYTES = 'bytes'
# Of a document that is split up to be learned from at most so much at a time.
_LONGEST_LINE = 2**16
_FIRST_BYTE = UNKNOWN + 1


class Tokenizer(Protocol):
    """Turns documents into tokens.

    Attributes:
        size: how many tokens there are, those of `efficiency.data.tokens` included.
        digest: a text that another would not have.
        model: what says what the tokens are, to be kept beside a network; empty for bytes.
    """

    size: int
    digest: str
    model: bytes

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Of each text its tokens, int32, without a beginning or an end."""
        ...


class Bytes:
    """Each byte of UTF-8 is a token: a text of n bytes has n."""

    size = _FIRST_BYTE + 256
    digest = BYTES
    model = b''

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) + _FIRST_BYTE for text in texts]


class Pieces:
    """Pieces of a vocabulary of byte pairs, in which every byte is one too, so that no text is unknown."""

    def __init__(self, pieces: vocabulary.Vocabulary):
        self._pieces = pieces
        self.size, self.digest, self.model = pieces.size, pieces.digest, pieces.model

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array(tokens, np.int32) for tokens in self._pieces.encode(texts)]


def size_of(wanted: int | str) -> int:
    """How many tokens there are of what a config asks for: 'bytes', or so many pieces."""
    return Bytes.size if wanted == BYTES else wanted


def tokenizer(wanted: int | str, texts: Iterable[str]) -> Tokenizer:
    """What a config asks for: 'bytes', or so many pieces, learned of the lines of some texts.

    Raises:
        UserError: if so many, or so few, cannot be had of these texts.
    """
    if wanted == BYTES:
        return Bytes()
    return Pieces(vocabulary.learn(_lines(texts), wanted, byte_fallback=True))


def _lines(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for line in text.splitlines(keepends=True):
            for first in range(0, len(line), _LONGEST_LINE):
                yield line[first : first + _LONGEST_LINE]


def joined(documents: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) int32: all documents one after another, with an end before the first and behind each."""
    parts = [np.array([END], np.int32)]
    for tokens in documents:
        parts += [tokens, parts[0]]
    return np.concatenate(parts)
