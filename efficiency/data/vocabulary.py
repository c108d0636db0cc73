"""Text as tokens: a vocabulary of byte pairs, learned from the training texts alone.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units" (arXiv:1508.07909), by
sentencepiece, which learns the same pieces of the same sentences each time.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Sequence

from efficiency import console
from efficiency.data.tokens import BEGIN, END, PADDING, UNKNOWN
from efficiency.errors import UserError

# What a run keeps it in.
FILE_NAME = 'vocabulary.model'
# What sentencepiece learns no piece of: its own signs of a blank, of the unknown and between units, the null character,
# and ends of lines at the end. Each is written as two characters, of which the first stands for nothing else.
_ESCAPE = '\U0010fffd'
_ESCAPED = '▁▅\x1f\0\r\n' + _ESCAPE
_ESCAPES = {ord(character): f'{_ESCAPE}{number}' for number, character in enumerate(_ESCAPED)}
_LINE_END = _ESCAPES[ord('\n')]
# Bytes of a line; of one that is longer sentencepiece learns nothing, and says nothing.
_LONGEST = 2**20


class Vocabulary:
    """A vocabulary of pieces.

    Attributes:
        model: sentencepiece's own bytes.
        size: how many pieces, those of `efficiency.data.tokens` included.
    """

    def __init__(self, model: bytes):
        import sentencepiece

        self.model = model
        self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.size: int = self._pieces.vocab_size()

    @property
    def digest(self) -> str:
        """sha256 of the model."""
        return hashlib.sha256(self.model).hexdigest()

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """The pieces of each sentence, without a beginning or an end."""
        return self._pieces.encode([line.translate(_ESCAPES) for line in lines])

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """The sentences that pieces spell; of what `encode` gave, exactly those, but for characters unknown to it."""
        found = self._pieces.decode([list(map(int, each)) for each in pieces])
        return [
            re.sub(f'{_ESCAPE}([0-{len(_ESCAPED) - 1}])', lambda two: _ESCAPED[int(two[1])], line) for line in found
        ]


def learn(lines: Iterable[str], size: int, byte_fallback: bool = False) -> Vocabulary:
    """The vocabulary of byte pairs of some sentences.

    Args:
        lines: the sentences.
        size: how many pieces it is to have.
        byte_fallback: whether every byte is a piece too, so that no text is unknown to it, and the end of a line is
            one, wherever in a text it stands: for documents, of which `lines` are the lines.

    Raises:
        UserError: if so many, or so few, cannot be had of these sentences, or one is longer than a MiB.
    """
    import sentencepiece

    model, options, too_long = io.BytesIO(), {}, []

    def escaped():
        for number, line in enumerate(lines):
            found = line.translate(_ESCAPES)
            if len(found) > _LONGEST // 4 and len(found.encode()) > _LONGEST:
                too_long.append(number)
            yield found

    if byte_fallback:
        options = {'byte_fallback': True, 'user_defined_symbols': [_LINE_END]}
    try:
        with console.hushed():
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=escaped(), model_writer=model, model_type='bpe',
                vocab_size=size, num_threads=1, pad_id=PADDING, bos_id=BEGIN, eos_id=END, unk_id=UNKNOWN,
                # No sentence has these names in it, as one may have `<s>`.
                **{f'{name}_piece': f'{_ESCAPE}{name}' for name in ('pad', 'bos', 'eos', 'unk')},
                # What is decoded is what was encoded: no character is left out, joined or made another.
                character_coverage=1.0, normalization_rule_name='identity', remove_extra_whitespaces=False,
                max_sentence_length=_LONGEST, minloglevel=2, **options,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        _check_lengths(too_long)
        text = str(error)
        if most := re.search(r'value <= (\d+)', text):
            raise UserError(
                f'config.vocabulary is {size}, and the training sentences have {most[1]} pieces at most; take fewer'
            ) from error
        if re.search(r'smaller than required_chars', text):
            least = re.search(r'vs (\d+)', text)
            raise UserError(
                f'config.vocabulary is {size}; the characters of the training sentences and what every vocabulary '
                f'begins with are {least[1] if least else "more"}, so take more'
            ) from error
        raise UserError(f'sentencepiece learns no vocabulary of {size} pieces: {text.splitlines()[-1]}') from error
    _check_lengths(too_long)
    return Vocabulary(model.getvalue())


def _check_lengths(too_long: Sequence[int]) -> None:
    if too_long:
        raise UserError(
            f'{len(too_long)} of the training sentences are longer than a MiB, so that no piece would be learned of '
            'them; part them'
        )
