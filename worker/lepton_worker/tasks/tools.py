"""Calls of tools, found in what a model wrote.

Each family of models writes them in its own way, and its chat template shows which:

- tags (Hermes, Qwen): `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, any number;
- list (Mistral):      `[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]`, or a name and its
                       arguments behind each mark: `[TOOL_CALLS]name{...}`;
- XML (Qwen3-Coder):    `<tool_call><function=...><parameter=...>...`, see `tools_xml`;
- bare (Llama 3):      `{"name": ..., "parameters": {...}}`, nothing else, several joined by `;`.

What is not exactly so, or names a tool that was not offered, stays text.
"""

import enum
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lepton_worker.tasks.chat import json_object
from lepton_worker.tasks.json_text import members, skip, value_end
from lepton_worker.tasks.tools_xml import FUNCTION, found_calls

NAME = re.compile(r"[\w.-]+")

TAG, TAG_END = "<tool_call>", "</tool_call>"
LIST, LIST_ARGUMENTS = LIST_MARKS = "[TOOL_CALLS]", "[ARGS]"
PYTHON_TAG = "<|python_tag|>"

CLOSING = frozenset("}]>")
"""A call is complete with one of these."""

ARGUMENTS = ("arguments", "parameters")
BARE_KEYS = ("name", "parameters", "arguments", "type", "function")
"""Keys with which the object of a bare call may begin."""


@dataclass(frozen=True)
class Call:
    """A call as the model wrote it; `id` is empty where it gave none.

    `untyped` says that all its arguments are texts, whatever they are meant to be.
    """

    name: str
    arguments: str
    id: str = ""
    untyped: bool = False


@dataclass(frozen=True)
class Parsed:
    """What an answer's end is: calls, and the text that is none."""

    text: str
    calls: tuple[Call, ...] = ()


Parse = Callable[[str], Parsed]


class Style(enum.Enum):
    """How a model writes calls."""

    XML = "xml"
    TAGS = "tags"
    LIST = "list"
    NAMED = "named"
    BARE = "bare"


@dataclass(frozen=True)
class Format:
    """One way to read calls; `style` is how the model writes them itself.

    `marks` are those a call begins with; without any, it begins with the answer itself. `shown_by`
    are texts in a chat template that show that the model knows this way. `seen` are texts that
    matter to `parse` and may be special tokens, which are otherwise left out of the answer.
    """

    style: Style
    parse: Parse
    shown_by: tuple[str, ...]
    marks: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


def parse_tags(text: str) -> Parsed:
    """Hermes and Qwen. A last tag may be left open: some models end there."""
    calls: list[Call] = []
    rest = ""
    for part in re.split(f"(?={TAG})", text):
        inner, end, behind = part.removeprefix(TAG).partition(TAG_END)
        call = _call_of(inner.strip()) if part.startswith(TAG) else None
        if call is None:
            rest += part
        else:
            calls.append(call)
            rest += behind if end else ""
    # What stands between calls is space, and means nothing.
    return Parsed(rest if rest.strip() else "", tuple(calls)) if calls else Parsed(text)


def parse_list(text: str) -> Parsed:
    """Mistral, both its ways."""
    before, mark, behind = text.partition(LIST)
    if not mark:
        return Parsed(text)
    calls = _listed(behind) or _named(behind)
    return Parsed(before, tuple(calls)) if calls else Parsed(text)


def parse_bare(text: str) -> Parsed:
    """Llama 3: the whole answer is made of calls."""
    calls: list[Call] = []
    body = text.strip().removeprefix(PYTHON_TAG)
    place = 0
    while True:
        end = value_end(body, skip(body, place))
        call = None if end is None else _call_of(body[place:end].strip())
        if end is None or call is None:
            return Parsed(text)
        calls.append(call)
        place = skip(body, end)
        if place == len(body):
            return Parsed("", tuple(calls))
        if body[place] != ";":
            return Parsed(text)
        place += 1


def parse_xml(text: str) -> Parsed:
    """Qwen3-Coder; what is between whole calls is space, and means nothing."""
    calls: list[Call] = []
    rest, place = "", 0
    for name, (start, end), values in found_calls(text):
        calls.append(Call(name, json.dumps(values, ensure_ascii=False), untyped=True))
        rest, place = rest + text[place:start], end
    rest += text[place:]
    return Parsed(rest if rest.strip() else "", tuple(calls)) if calls else Parsed(text)


FORMATS = (
    Format(Style.XML, parse_xml, shown_by=(FUNCTION,), marks=(TAG, FUNCTION), seen=(TAG, TAG_END)),
    Format(Style.TAGS, parse_tags, shown_by=(TAG,), marks=(TAG,), seen=(TAG, TAG_END)),
    Format(Style.NAMED, parse_list, shown_by=(LIST_ARGUMENTS,), marks=(LIST,), seen=LIST_MARKS),
    Format(Style.LIST, parse_list, shown_by=(LIST,), marks=(LIST,), seen=LIST_MARKS),
    Format(Style.BARE, parse_bare, shown_by=(PYTHON_TAG, '"parameters":'), seen=(PYTHON_TAG,)),
)


def format_of(template: str) -> Format:
    """How a model with this chat template writes calls: the first way that the template shows, and
    the bare one where it shows none."""
    shown = (made for made in FORMATS if any(text in template for text in made.shown_by))
    return next(shown, FORMATS[-1])


class CallReader:
    """Separates calls from text while an answer grows.

    Text is held back from where a call may begin until the answer ends. With `single` the first
    call ends it: `complete` says so.
    """

    def __init__(self, how: Format, names: Sequence[str], single: bool = False) -> None:
        self._format = how
        self._names = frozenset(names)
        self._single = single
        self.complete = False
        self._held = ""
        self._began = False
        self._plain = False

    def feed(self, text: str) -> str:
        """Take more text; returns what is certainly not part of a call."""
        if self._plain:
            return text
        self._held += text
        shown = ""
        if not self._began:
            shown = self._marked() if self._format.marks else self._bare()
        if self._single and not CLOSING.isdisjoint(text):
            self.complete = bool(self._parsed(self._held).calls)
        return shown

    def end(self) -> Parsed:
        """No text will follow: what was held back, as calls and text."""
        held, self._held = self._held, ""
        parsed = self._parsed(held)
        if not self._single or not parsed.calls:
            return parsed
        return Parsed("", parsed.calls[:1])

    def rest(self) -> str:
        """What was held back, as text: the answer was cut off, so nothing in it is a call."""
        held, self._held = self._held, ""
        return held

    def _parsed(self, held: str) -> Parsed:
        parsed = self._format.parse(held)
        if all(call.name in self._names for call in parsed.calls):
            return parsed
        return Parsed(held)

    def _marked(self) -> str:
        starts = [self._held.find(mark) for mark in self._format.marks]
        found = [start for start in starts if start >= 0]
        if found:
            self._began = True
            cut = min(found)
        else:
            cut = len(self._held) - max(_overlap(self._held, m) for m in self._format.marks)
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def _bare(self) -> str:
        if may_become_bare(self._held):
            return ""
        self._plain = True
        return self.rest()


def may_become_bare(text: str) -> bool:
    """Whether an answer that begins so can still be a bare call."""
    body = text.lstrip()
    if PYTHON_TAG.startswith(body) or body.startswith(PYTHON_TAG):
        return True
    if not body.startswith("{"):
        return False
    inner = body[1:].lstrip()
    if not inner.startswith('"'):
        return not inner
    key = inner[1:]
    return any(known.startswith(key) or key.startswith(f'{known}"') for known in BARE_KEYS)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that is a beginning of `mark`."""
    lengths = range(min(len(text), len(mark) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(mark[:length])), 0)


# ------------------------------------------------------------------ calls as JSON
def _call_of(text: str) -> Call | None:
    """The call that a JSON object describes."""
    found = members(text) or {}
    if "function" in found and "name" not in found:
        found = members(found["function"]) or {}
    name = _string(found.get("name", ""))
    written = next((found[key] for key in ARGUMENTS if key in found), None)
    arguments = None if written is None else _object(written)
    if not name or arguments is None:
        return None
    return Call(name, arguments, _string(found.get("id", "")))


def _object(written: str) -> str | None:
    """Arguments as an object, also where the model wrote that object as a string."""
    inner = _string(written) or written
    return None if json_object(inner) is None else inner


def _string(written: str) -> str:
    """The string that a JSON value is; empty for any other."""
    value = json.loads(written) if written else ""
    return value if isinstance(value, str) else ""


def _listed(text: str) -> list[Call]:
    """A JSON list of calls, and nothing else; otherwise none."""
    start = skip(text, 0)
    end = value_end(text, start)
    if end is None or text[end:].strip() or not text.startswith("[", start):
        return []
    calls: list[Call | None] = []
    place = skip(text, start + 1)
    while text[place] != "]":
        behind = value_end(text, place)
        assert behind is not None, "the whole was JSON, so its parts are"
        calls.append(_call_of(text[place:behind]))
        place = skip(text, behind)
        place = skip(text, place + 1) if text[place] == "," else place
    found = [call for call in calls if call is not None]
    return found if len(found) == len(calls) else []


def _named(text: str) -> list[Call]:
    """`name{...}` behind each mark; otherwise none."""
    calls: list[Call] = []
    for part in text.split(LIST):
        name = NAME.match(part.strip())
        if name is None:
            return []
        arguments = part.strip()[name.end() :].removeprefix(LIST_ARGUMENTS).strip()
        if json_object(arguments) is None:
            return []
        calls.append(Call(name.group(), arguments))
    return calls
