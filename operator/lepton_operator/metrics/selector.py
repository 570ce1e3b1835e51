"""Label selectors in the form the HPA sends them, as a value that is asked whether it matches."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|,|\(|\))|([^\s=!,()]+))")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


class Operator(Enum):
    """What is asked of a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    MISSING = "!"


@dataclass(frozen=True)
class Requirement:
    """One condition on one label; `values` is empty for EXISTS and MISSING."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As Kubernetes has it: NOT_IN holds as well where the label is missing."""
        present = self.key in labels
        if self.operator is Operator.EXISTS:
            return present
        if self.operator is Operator.MISSING:
            return not present
        inside = present and labels[self.key] in self.values
        return inside if self.operator is Operator.IN else not inside


@dataclass(frozen=True)
class Selector:
    """All requirements have to hold; none at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is meant."""
        return all(requirement.matches(labels) for requirement in self.requirements)


class InvalidSelector(ValueError):
    """The text is no label selector; the message says what was expected where."""


def parse(text: str) -> Selector:
    """Read `a=1,b!=2,c in (x,y),d notin (z),e,!f`. Raises InvalidSelector."""
    if not text.strip():
        return Selector()
    reader = _Reader(text)
    requirements = [_requirement(reader)]
    while reader.take(","):
        requirements.append(_requirement(reader))
    if reader.next is not None:
        raise reader.error("',' or the end")
    return Selector(tuple(requirements))


def _requirement(reader: "_Reader") -> Requirement:
    if reader.take("!"):
        return Requirement(reader.word(_KEY, "a label's name"), Operator.MISSING)
    key = reader.word(_KEY, "a label's name")
    if reader.take("=") or reader.take("=="):
        return Requirement(key, Operator.IN, frozenset({_single(reader)}))
    if reader.take("!="):
        return Requirement(key, Operator.NOT_IN, frozenset({_single(reader)}))
    for operator in (Operator.IN, Operator.NOT_IN):
        if reader.take(operator.value):
            return Requirement(key, operator, _values(reader))
    return Requirement(key, Operator.EXISTS)


def _values(reader: "_Reader") -> frozenset[str]:
    if not reader.take("("):
        raise reader.error("'('")
    if reader.next == ")":
        raise reader.error("a label's value")
    values = {_single(reader)}
    while reader.take(","):
        values.add(_single(reader))
    if not reader.take(")"):
        raise reader.error("',' or ')'")
    return frozenset(values)


def _single(reader: "_Reader") -> str:
    # `a=` and `a in (,x)` mean the empty value.
    if reader.next in (None, ",", ")"):
        return ""
    return reader.word(_VALUE, "a label's value")


class _Reader:
    """The tokens of a text, one ahead."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._start = text, 0, 0
        self.next: str | None = None
        self._advance()

    def take(self, token: str) -> bool:
        """Step over this token, if it comes next."""
        if self.next != token:
            return False
        self._advance()
        return True

    def word(self, form: re.Pattern[str], what: str) -> str:
        """Step over a word of this form."""
        word = self.next
        if word is None or len(word) > 317 or not form.fullmatch(word):
            raise self.error(what)
        self._advance()
        return word

    def error(self, expected: str) -> InvalidSelector:
        """What to raise where something else was expected."""
        found = "it ends" if self.next is None else f"found {self.next!r}"
        return InvalidSelector(
            f"labelSelector {self._text!r}: expected {expected} at position {self._start}, {found}"
        )

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        self._start = len(self._text) if match is None else match.start(match.lastindex or 0)
        self._at = len(self._text) if match is None else match.end()
        self.next = None if match is None else match[match.lastindex or 0]
