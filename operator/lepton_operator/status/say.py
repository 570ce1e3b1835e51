"""Wording of conditions: what is the matter, then what mends it."""

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.api.reasons import REASONS

LIMIT = 900
"""Longest text: the note of an event holds 1024 bytes."""


def fine(kind: Type, reason: Reason, text: str) -> Condition:
    """The condition holds."""
    return Condition(kind, True, reason, cut(text))


def waiting(kind: Type, reason: Reason, text: str, status: bool | None = False) -> Condition:
    """Not there yet; there is nothing to mend."""
    return Condition(kind, status, reason, cut(text))


def wrong(kind: Type, reason: Reason, text: str, name: str = "NAME") -> Condition:
    """The condition does not hold; the remedy of its reason is added. `name`: of the model."""
    remedy = REASONS[reason].remedy.replace("`", "").replace("NAME", name)
    return Condition(kind, False, reason, f"{cut(sentence(text), LIMIT - len(remedy))} {remedy}")


def sentence(text: str) -> str:
    """The text with a full stop."""
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def cut(text: str, limit: int = LIMIT) -> str:
    """The text, not longer than the limit in UTF-8; the middle goes, since the ends say most."""
    text = " ".join(text.split())
    data = text.encode()
    if len(data) <= limit:
        return text
    half = limit // 2 - 3
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head} ... {tail}"
