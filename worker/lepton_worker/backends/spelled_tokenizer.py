"""Tokenizers whose pieces come from one file and their numbers from another, as translators have.

A model of SentencePiece makes the pieces of a text, vocab.json has their numbers. In the form that
`FastTokenizer` asks for; imports neither torch nor transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenizers import AddedToken, Encoding, Tokenizer, decoders, models

from lepton_worker.backends.sentencepiece_model import SPACE, PieceModel, splitter


@dataclass
class Spelling:
    """What `tokenizers.Encoding` has of a text, as far as it is asked for."""

    ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    sequence_ids: list[int | None] = field(default_factory=list)
    n_sequences: int = 1

    @property
    def type_ids(self) -> list[int]:
        """Segment numbers, which these models do not take."""
        return [0] * len(self.ids)

    @property
    def word_ids(self) -> list[int | None]:
        """Pieces do not say which word they are of."""
        return [None] * len(self.ids)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for what is not of the text."""
        return [int(owner is None) for owner in self.sequence_ids]

    def add(self, number: int, token: str, span: tuple[int, int], owner: int | None) -> None:
        """One token more."""
        self.ids.append(number)
        self.tokens.append(token)
        self.offsets.append(span)
        self.sequence_ids.append(owner)


@dataclass(frozen=True)
class Marks:
    """The tokens of a model that are not of texts.

    `front` and `back` go around a text. `specials` are found where a text has them, `languages` are
    not. A text may begin with a token between `leads`, such as the language that shall be written.
    """

    specials: tuple[str, ...]
    languages: tuple[str, ...] = ()
    front: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    unknown: str = "<unk>"
    leads: tuple[str, str] | None = None


class SpelledTokenizer:
    """In place of a `tokenizers.Tokenizer`, with as much of it as `FastTokenizer` uses."""

    def __init__(self, pieces: PieceModel, vocabulary: dict[str, int], marks: Marks) -> None:
        """Languages that the vocabulary lacks get the numbers behind it, in their order.

        Raises ValueError where the vocabulary does not name the unknown token.
        """
        if marks.unknown not in vocabulary:
            raise ValueError(f"the vocabulary has no {marks.unknown}")
        self._pieces = splitter(pieces)
        self._pieces.add_special_tokens(_added(marks.specials))
        self._names = Tokenizer(models.WordLevel(vocabulary, unk_token=marks.unknown))
        self._names.add_special_tokens(_added((*marks.languages, *marks.specials)))
        self._names.decoder = _decoder(pieces.byte_fallback)
        self._numbers = self._names.get_vocab(with_added_tokens=True)
        self._vocabulary = dict(vocabulary)
        self._unknown, self._marks = vocabulary[marks.unknown], marks
        self._nameless = pieces.pieces[pieces.unknown].text

    @property
    def model(self) -> models.Model:
        """What makes the pieces."""
        made: models.Model = self._pieces.model
        return made

    @property
    def leads(self) -> dict[str, str]:
        """The tokens that a text may begin with, by what is written in them."""
        if self._marks.leads is None:
            return {}
        opened, closed = self._marks.leads
        return {
            token.removeprefix(opened).removesuffix(closed): token
            for token in self._vocabulary
            if token.startswith(opened) and token.endswith(closed)
        }

    def no_truncation(self) -> None:
        """Nothing is cut here."""

    def no_padding(self) -> None:
        """Nothing is filled up here."""

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """All tokens with their numbers."""
        return self._names.get_vocab(with_added_tokens=with_added_tokens)

    def get_vocab_size(self) -> int:
        """How many tokens there are."""
        return len(self._numbers)

    def get_added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The special tokens by their numbers."""
        return self._names.get_added_tokens_decoder()

    def id_to_token(self, number: int) -> str | None:
        """The token of a number."""
        return self._names.id_to_token(number)

    def decode_batch(
        self, sequences: Sequence[Sequence[int]], skip_special_tokens: bool = True
    ) -> list[str]:
        """The texts of tokens."""
        texts: list[str] = self._names.decode_batch(
            [list(ids) for ids in sequences], skip_special_tokens=skip_special_tokens
        )
        return texts

    def encode_batch(
        self, inputs: Sequence[str | tuple[str, str]], add_special_tokens: bool = True
    ) -> list[Spelling]:
        """The tokens of texts, or of two texts as one input."""
        parts = [(item,) if isinstance(item, str) else item for item in inputs]
        cut = [[self._lead(text) for text in part] for part in parts]
        bare = [
            text[lead:]
            for part, leads in zip(parts, cut, strict=True)
            for text, lead in zip(part, leads, strict=True)
        ]
        encodings = iter(self._pieces.encode_batch(bare, add_special_tokens=False))
        found = []
        for part, leads in zip(parts, cut, strict=True):
            spelling = Spelling(n_sequences=len(part))
            self._mark(spelling, self._marks.front if add_special_tokens else ())
            for owner, (text, lead) in enumerate(zip(part, leads, strict=True)):
                if lead:
                    self._add(spelling, text[:lead], (0, lead), owner)
                self._take(spelling, next(encodings), text, lead, owner)
            self._mark(spelling, self._marks.back if add_special_tokens else ())
            found.append(spelling)
        return found

    encode_batch_fast = encode_batch

    def _lead(self, text: str) -> int:
        """How many characters of a text are the token that it begins with."""
        if self._marks.leads is None:
            return 0
        opened, closed = self._marks.leads
        end = text.find(closed) if text.startswith(opened) else -1
        return 0 if end < 0 else end + len(closed)

    def _mark(self, spelling: Spelling, tokens: Sequence[str]) -> None:
        for token in tokens:
            spelling.add(self._numbers[token], token, (0, 0), None)

    def _take(
        self, spelling: Spelling, encoding: Encoding, text: str, lead: int, owner: int
    ) -> None:
        for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            span = (start + lead, end + lead)
            if token == self._nameless and token != text[span[0] : span[1]]:
                token = self._bare(text[span[0] : span[1]])
            self._add(spelling, token, span, owner)

    def _bare(self, text: str) -> str:
        """What is unknown to the pieces, as the vocabulary may know it nevertheless."""
        normalizer = self._pieces.normalizer
        normal: str = text if normalizer is None else normalizer.normalize_str(text)
        found = normal.removeprefix(SPACE)
        # A letter of which a mark was cut off is not what is unknown.
        known = any(self._pieces.token_to_id(letter) is not None for letter in found)
        return self._nameless if known else found

    def _add(self, spelling: Spelling, token: str, span: tuple[int, int], owner: int) -> None:
        """A token of a text, which never is a language by being spelled like one."""
        spelling.add(self._vocabulary.get(token, self._unknown), token, span, owner)


def _added(tokens: Sequence[str]) -> list[AddedToken]:
    return [AddedToken(token, normalized=False, special=True) for token in tokens]


def _decoder(bytes_too: bool) -> decoders.Decoder:
    """Spaces as they were, without the one in front of the text."""
    steps: list[decoders.Decoder] = [decoders.Replace(SPACE, " ")]
    if bytes_too:
        steps.append(decoders.ByteFallback())
    steps += [decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    return decoders.Sequence(steps)
