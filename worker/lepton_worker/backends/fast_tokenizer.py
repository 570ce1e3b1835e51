"""The model's own tokenizer, in a form that is safe and fast to use from several threads.

Imports neither torch nor transformers: a process that only tokenizes starts without them.
"""

import re
from collections.abc import Sequence

import tokenizers

from lepton_worker.backends.places import origins, word_numbers
from lepton_worker.backends.spelled_tokenizer import SpelledTokenizer, Spelling
from lepton_worker.model import Frame, Pieces, Tokenized
from lepton_worker.request import Tokens

BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
PROBES = ("a", "0", ".", "的")
"""Texts of which any tokenizer knows one: around its tokens the special ones show."""


class FastTokenizer:
    """A tokenizer of the `tokenizers` library, never reconfigured after it is made.

    Always asked for batches: those let other threads run. `typed` says that the model takes segment
    numbers, `lower` that texts are brought to lower case first; `unknown` is the token for what is
    not in the vocabulary.
    """

    def __init__(
        self,
        rust: "tokenizers.Tokenizer | SpelledTokenizer",
        typed: bool,
        lower: bool = False,
        unknown: int | None = None,
    ) -> None:
        rust.no_truncation()
        rust.no_padding()
        self._rust = rust
        self._typed, self._lower, self._unknown = typed, lower, unknown
        self._pieced = bool(getattr(rust.model, "continuing_subword_prefix", None))
        self._open = _open_tokens(rust)
        self._frames = {pair: _frame(rust, pair, typed) for pair in (False, True)}

    @property
    def rust(self) -> tokenizers.Tokenizer | None:
        """The tokenizer itself, for libraries that follow its vocabulary; None where it is not
        one of the `tokenizers` library alone."""
        return self._rust if isinstance(self._rust, tokenizers.Tokenizer) else None

    @property
    def size(self) -> int:
        """How many tokens there are, special ones included."""
        return self._rust.get_vocab_size()

    @property
    def specials(self) -> dict[str, int]:
        """The special tokens with their numbers."""
        added = self._rust.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if token.special}

    @property
    def leads(self) -> dict[str, str]:
        """The tokens by which a text may begin with its translation's language, by language."""
        return self._rust.leads if isinstance(self._rust, SpelledTokenizer) else {}

    def encode(self, texts: Sequence[str], cut_at: int | None = None) -> list[Tokenized]:
        """Tokenize with special tokens; a cut keeps the special tokens at the end."""
        ready = [self._cased(text) for text in texts]
        return self._cut(self._rust.encode_batch_fast(ready), self.frame(), cut_at)

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], cut_at: int | None = None
    ) -> list[Tokenized]:
        """Two texts as one input; a cut takes from the second one, as far as there is any of it."""
        ready = [(self._cased(first), self._cased(second)) for first, second in pairs]
        return self._cut(self._rust.encode_batch_fast(ready), self.frame(pair=True), cut_at)

    def _cut(
        self, items: Sequence[tokenizers.Encoding | Spelling], frame: Frame, cut_at: int | None
    ) -> list[Tokenized]:
        results = []
        for item in items:
            ids, types, over = item.ids, item.type_ids, 0
            if cut_at is not None and len(ids) > cut_at:
                last = item.sequence_ids.count(item.n_sequences - 1)
                over = min(last, len(ids) - cut_at)
                kept = len(ids) - over - len(frame.back)
                del ids[kept : kept + over], types[kept : kept + over]
            tokens = Tokens(tuple(ids), tuple(types) if self._typed else None)
            results.append(Tokenized(tokens, truncated=over > 0))
        return results

    def pieces(self, text: str, special: bool = True) -> Pieces:
        """Tokens with their places in the text as it was given."""
        cased = self._cased(text)
        item = self._rust.encode_batch([cased], add_special_tokens=special)[0]
        spans = item.offsets
        if len(cased) != len(text):
            at = origins(text)
            spans = [(at[start], at[end]) for start, end in spans]
        frame = self.frame()
        return Pieces(
            ids=tuple(item.ids),
            spans=tuple(spans),
            words=tuple(item.word_ids if self._pieced else self._words(text, spans, item)),
            tokens=tuple(self._names(item)),
            added=(len(frame.front), len(frame.back)) if special else (0, 0),
        )

    def _names(self, item: tokenizers.Encoding | Spelling) -> list[str]:
        """The tokens' own names; some models show the text instead where it is unknown to them."""
        if self._unknown is None:
            return item.tokens
        name = self._rust.id_to_token(self._unknown) or ""
        pairs = zip(item.ids, item.tokens, strict=True)
        return [name if number == self._unknown else token for number, token in pairs]

    def _words(
        self, text: str, spans: list[tuple[int, int]], item: tokenizers.Encoding | Spelling
    ) -> list[int | None]:
        starts = [
            None if special else start
            for (start, _), special in zip(spans, item.special_tokens_mask, strict=True)
        ]
        return word_numbers(text, starts, [token == self._unknown for token in item.ids])

    def frame(self, pair: bool = False) -> Frame:
        """What goes around one text or two, as the tokenizer itself does it."""
        return self._frames[pair]

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
        """Text of the tokens, without special ones unless asked for."""
        text: str = self._rust.decode_batch([list(ids)], skip_special_tokens=not special)[0]
        return text

    def is_open(self, token: int) -> bool:
        """Whether it is one byte of a run that is decoded as a whole, or a special token, which
        is left out and so does not end such a run."""
        return token in self._open

    def _cased(self, text: str) -> str:
        return text.lower() if self._lower else text


def _open_tokens(rust: tokenizers.Tokenizer | SpelledTokenizer) -> frozenset[int]:
    vocabulary = rust.get_vocab(with_added_tokens=True)
    run = {number for token, number in vocabulary.items() if BYTE_TOKEN.fullmatch(token)}
    added = rust.get_added_tokens_decoder()
    return frozenset(run | {number for number, token in added.items() if token.special})


def _frame(rust: tokenizers.Tokenizer | SpelledTokenizer, pair: bool, typed: bool) -> Frame:
    """The special tokens that show around a text that has tokens of its own."""
    last = int(pair)
    for probe in PROBES:
        item = rust.encode_batch([(probe, probe) if pair else probe])[0]
        owners = item.sequence_ids
        if 0 not in owners or last not in owners:
            continue
        kinds = list(zip(item.ids, item.type_ids, strict=True))
        behind = len(owners) - owners[::-1].index(last)
        between = [place for place in range(owners.index(0), behind) if owners[place] is None]
        segments = item.type_ids[owners.index(0)], item.type_ids[owners.index(last)]
        return Frame(
            front=tuple(kinds[: owners.index(0)]),
            middle=tuple(kinds[place] for place in between),
            back=tuple(kinds[behind:]),
            segments=segments,
            typed=typed,
        )
    return Frame(typed=typed)
