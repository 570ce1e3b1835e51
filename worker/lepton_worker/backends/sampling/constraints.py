"""What a generated text has to be: grammars that say which tokens may come next.

The grammars are llguidance's (https://github.com/guidance-ai/llguidance): an Earley parser over
derivatives of regular expressions, walked along a trie of the vocabulary. No torch in here: the
process that takes requests checks them without it.
"""

import functools
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import llguidance
import numpy as np
import numpy.typing as npt
import tokenizers

from lepton_worker.errors import InvalidRequest, TaskNotSupported, Violation
from lepton_worker.request import Constraint

Bits: TypeAlias = npt.NDArray[np.uint32]
"""One bit for each token, lowest first; shape [vocabulary / 32, rounded up]."""

MAX_CHARACTERS = 65_536
"""Longest constraint, all its texts together: 5000 choices compile in some 20 ms."""

MAX_CHOICES = 5_000
KEPT = 64
"""Compiled grammars that are kept for requests to come."""

JSON_OPTIONS = {
    # One line break, then an indent: enough for pretty-printed JSON, and it cannot go on for ever.
    "whitespace_pattern": r"\n?[ ]{0,20}",
    "whitespace_flexible": True,
    # A keyword that cannot be enforced is an error, not a promise that is broken in silence.
    "lenient": False,
}
LIMITS = llguidance.LLParserLimits(verbose_errors=False)


def check(constraint: Constraint) -> None:
    """Raises InvalidRequest when the constraint cannot be enforced. Needs no tokenizer."""
    failed, messages = llguidance.LLMatcher.validate_grammar_with_warnings(
        grammar(constraint), limits=LIMITS
    )
    if failed:
        raise refused(constraint, messages[0])


def grammar(constraint: Constraint) -> str:
    """The constraint as llguidance reads it; raises InvalidRequest for what is seen at once."""
    _check_size(constraint)
    matcher, texts = llguidance.LLMatcher, constraint.texts
    if constraint.kind == "choices":
        return matcher.grammar_from_lark("start: " + " | ".join(_literal(text) for text in texts))
    if constraint.kind == "regex":
        # As in ECMAScript, and so in JSON Schema, \d is 0-9 and \w a-z, A-Z, 0-9 and _.
        return matcher.grammar_from_lark(f"start: /{llguidance.regex_to_lark(texts[0], 'dw')}/")
    if constraint.kind == "grammar":
        return matcher.grammar_from_lark(texts[0])
    schema = '{"type": "object"}' if constraint.kind == "json_object" else texts[0]
    try:
        # `overrides` come last: a schema cannot change them by a key of its own.
        return matcher.grammar_from_json_schema(schema, overrides=JSON_OPTIONS)  # type: ignore[arg-type]
    except ValueError as error:
        raise refused(constraint, str(error)) from error


def _literal(text: str) -> str:
    """A string literal of Lark, which are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def _check_size(constraint: Constraint) -> None:
    texts = constraint.texts
    if constraint.kind == "json_object":
        return
    if not texts or not all(texts):
        raise refused(constraint, "must not be empty")
    if constraint.kind != "choices" and len(texts) > 1:
        raise refused(constraint, f"takes one text, not {len(texts)}")
    if len(texts) > MAX_CHOICES:
        raise refused(constraint, f"{len(texts)} choices; at most {MAX_CHOICES} are taken")
    size = sum(map(len, texts))
    if size > MAX_CHARACTERS:
        raise refused(constraint, f"{size} characters; at most {MAX_CHARACTERS} are taken")


def refused(constraint: Constraint, message: str) -> InvalidRequest:
    """An error that names the field; of the parser's message, the line that says what is wrong."""
    lines = message.splitlines() or [message]
    said = next((line for line in lines if line.startswith("error: ")), lines[0])
    text = said.removeprefix("error: ")[:300]
    return InvalidRequest([Violation(f"sampling.{constraint.kind}", text)])


def readable(tokenizer: str) -> str:
    """The text of a tokenizer.json, with its decoder in a form that llguidance knows.

    It does not know Metaspace, which marks spaces (T5, mBART, NLLB, Pegasus); what that does is
    also a replacement followed by stripping.
    """
    said = json.loads(tokenizer)
    decoder = said.get("decoder") or {}
    if decoder.get("type") != "Metaspace":
        return tokenizer
    mark = decoder.get("replacement", "▁")
    said["decoder"] = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": mark}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }
    return json.dumps(said)


def told_as_bytes(rust: tokenizers.Tokenizer) -> bool:
    """Whether each token stands for bytes by the tokenizer's own make: BPE over bytes."""
    bpe, level = tokenizers.models.BPE, tokenizers.decoders.ByteLevel
    return isinstance(rust.model, bpe) and isinstance(rust.decoder, level)


class Constraints:
    """Compiles constraints for one model's vocabulary."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer | str, vocabulary: int, ends: Iterable[int]
    ) -> None:
        """`tokenizer` may be the text of tokenizer.json; `vocabulary` is the width of the logits.

        Raises TaskNotSupported for tokenizers whose tokens cannot be told as bytes (WordPiece).
        Those of byte-level BPE always can, so their vocabulary, a quarter of a second for 32,000
        tokens, is read by `prepare` or with the first constraint.
        """
        rust = tokenizers.Tokenizer.from_str(tokenizer) if isinstance(tokenizer, str) else tokenizer
        width = max(vocabulary, rust.get_vocab_size(with_added_tokens=True))
        self._rust, self._width, self._end_tokens = rust, width, sorted(ends)
        self._words = (width + 31) // 32
        self._compiled: OrderedDict[Constraint, llguidance.LLMatcher] = OrderedDict()
        if not told_as_bytes(rust):
            self.prepare()

    def prepare(self) -> None:
        """Read the vocabulary, unless that is done; raises TaskNotSupported."""
        _ = self._tokens  # by its side effect: with -O an assertion would not read it

    @functools.cached_property
    def _tokens(self) -> llguidance.LLTokenizer:
        try:
            return llguidance.LLTokenizer(
                readable(self._rust.to_str()),
                n_vocab=self._width,
                eos_token=self._end_tokens or None,
            )
        except ValueError as error:
            raise TaskNotSupported(
                f"constraints do not work with this model's tokenizer: {error}"
            ) from error

    def matcher(self, constraint: Constraint) -> "Matcher":
        """Follows one text from its beginning; raises InvalidRequest."""
        try:
            self.prepare()
        except TaskNotSupported as error:
            raise refused(constraint, error.message) from error
        compiled = self._compiled.get(constraint)
        if compiled is None:
            compiled = self._compiled[constraint] = self._compile(constraint)
        self._compiled.move_to_end(constraint)
        if len(self._compiled) > KEPT:
            self._compiled.popitem(last=False)
        ends = frozenset(self._tokens.eos_tokens)
        return Matcher(constraint, compiled.deep_copy(), ends, self._words)

    def _compile(self, constraint: Constraint) -> llguidance.LLMatcher:
        compiled = llguidance.LLMatcher(
            self._tokens, grammar(constraint), log_level=0, limits=LIMITS
        )
        if compiled.is_error():
            raise refused(constraint, compiled.get_error())
        return compiled


class Matcher:
    """Where a text stands within its grammar."""

    def __init__(
        self,
        constraint: Constraint,
        compiled: llguidance.LLMatcher,
        ends: frozenset[int],
        words: int,
    ) -> None:
        self._constraint, self._compiled, self._ends = constraint, compiled, ends
        self._bits: Bits = np.zeros(words, dtype=np.uint32)
        self._taken = 0
        self._last = -1

    def follow(self, ids: Sequence[int], start: int) -> None:
        """Stand behind the tokens from `start` on, whatever was taken before; raises
        InvalidRequest."""
        known = start + self._taken
        if known > len(ids) or (self._taken and ids[known - 1] != self._last):
            self._compiled.reset()
            self._taken = 0
        for token in ids[start + self._taken :]:
            self.take(token)

    def allowed(self, ends: frozenset[int]) -> Bits:
        """The tokens that may come next; raises InvalidRequest when that cannot be computed.

        Of the tokens that end a text, those outside `ends` are only there when nothing else is.
        The array is used again by the next call.
        """
        bits = self._bits
        self._compiled.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        if self._compiled.is_error():
            raise self._failed()
        unwanted = self._ends - ends
        if unwanted:
            rest = bits.copy()
            for token in unwanted:
                rest[token >> 5] &= ~np.uint32(1 << (token & 31))
            bits = rest if rest.any() else bits
        return bits

    def take(self, token: int) -> bool:
        """Go on by one token; True when nothing may follow. Raises InvalidRequest."""
        if not self._compiled.consume_token(token):
            raise self._failed()
        self._taken += 1
        self._last = token
        return self._compiled.is_stopped()

    def _failed(self) -> InvalidRequest:
        said = self._compiled.get_error().splitlines()
        reason = said[0].removeprefix("Parser Error: ") if said else "parser stopped"
        return refused(self._constraint, f"could not be followed any further: {reason}")
