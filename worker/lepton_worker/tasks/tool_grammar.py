"""The grammar of an answer that has to be calls of tools, in the model's own way to write them.

In the notation of Lark with the additions of llguidance: `%json` is a JSON value of a schema,
`<[7]>` is token 7.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Constraint
from lepton_worker.tasks.chat import Tool
from lepton_worker.tasks.tool_choice import ToolChoice
from lepton_worker.tasks.tools import LIST, LIST_ARGUMENTS, NAME, TAG, TAG_END, Format, Style
from lepton_worker.tasks.tools_xml import (
    FUNCTION,
    FUNCTION_END,
    PARAMETER,
    PARAMETER_END,
    choices,
    is_text,
    resolved,
)

NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "additionalProperties": False}
"""Schema for a tool that says nothing of its arguments: it has none."""


@dataclass(frozen=True)
class Layout:
    """What stands around calls: of the whole, of each, and between two of them.

    `name` and `arguments` are what stands in front of these within a call; `quoted` says that the
    name is a JSON string.
    """

    name: str
    arguments: str
    behind: str
    between: str = ""
    begin: str = ""
    end: str = ""
    quoted: bool = True


LAYOUTS: Mapping[Style, Layout] = {
    Style.TAGS: Layout(f'{TAG}\n{{"name": ', ', "arguments": ', f"}}\n{TAG_END}", between="\n"),
    Style.XML: Layout(
        f"{TAG}\n{FUNCTION}", ">\n", f"{FUNCTION_END}\n{TAG_END}", between="\n", quoted=False
    ),
    Style.LIST: Layout(
        '{"name": ', ', "arguments": ', "}", between=", ", begin=f"{LIST} [", end="]"
    ),
    Style.NAMED: Layout(LIST, LIST_ARGUMENTS, "", quoted=False),
    Style.BARE: Layout('{"name": ', ', "parameters": ', "}", between="; "),
}


def arguments_schema(tool: Tool) -> dict[str, Any]:
    """The schema that the arguments of a tool have to keep to: always an object."""
    return {**(tool.parameters or NO_ARGUMENTS), "type": "object"}


def argument_constraints(
    tools: Sequence[Tool], choice: ToolChoice
) -> Iterator[tuple[int, Constraint]]:
    """For each tool that may be called its place and the constraint of its arguments alone."""
    for index, tool in enumerate(tools):
        if choice.name in ("", tool.name):
            yield index, Constraint("json_schema", (json.dumps(arguments_schema(tool)),))


def calls_constraint(
    how: Format,
    tools: Sequence[Tool],
    choice: ToolChoice,
    markers: Mapping[int, str],
    json_options: Mapping[str, Any],
) -> Constraint:
    """The constraint that makes an answer calls of these tools and nothing else.

    `markers` are special tokens that stand for marks of calls, `json_options` say how JSON is
    written. Raises InvalidRequest for names that the model cannot write.
    """
    layout = LAYOUTS[how.style]
    offered = [tool for tool in tools if choice.name in ("", tool.name)]
    if not layout.quoted:
        _check_names(tools, offered)
    written = _Written({mark: token for token, mark in markers.items()})
    calls = "call" if choice.single else f"call ({written(layout.between)} call)*"
    lines = [
        f"start: {written(layout.begin)} {calls} {written(layout.end)}",
        f"call: {written(layout.name)} ({_alternatives(offered)}) {written(layout.behind)}",
    ]
    for index, tool in enumerate(offered):
        name = json.dumps(tool.name, ensure_ascii=False) if layout.quoted else tool.name
        head = f"tool{index}: {written(name + layout.arguments)}"
        if how.style is Style.XML:
            lines += _in_xml(f"{head} ", f"value{index}", arguments_schema(tool), json_options)
        else:
            lines.append(f"{head} {_json(arguments_schema(tool), json_options)}")
    return Constraint("grammar", ("\n".join(lines),))


def _json(schema: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    return f"%json {json.dumps({**schema, 'x-guidance': dict(options)})}"


def _in_xml(
    head: str, name: str, schema: Mapping[str, Any], options: Mapping[str, Any]
) -> list[str]:
    """Rules for arguments in XML, in the schema's order: first that of all, then one for each.

    Texts are any that end; the schema's bounds of texts cannot be kept without quotes.
    """
    parts, rules = [], []
    end = f"\n{PARAMETER_END}\n"
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    for number, (key, value) in enumerate(dict(schema.get("properties", {})).items()):
        begin = _literal(f"{PARAMETER}{key}>\n")
        rule = f"{name}_{number}"
        parts.append(rule if key in schema.get("required", ()) else f"{rule}?")
        meant = resolved(value, schema)
        if not is_text(meant):
            inner = value if isinstance(value, dict) else {}
            rules.append(f"{rule}: {begin} {_json({**shared, **inner}, options)} {_literal(end)}")
        elif None not in choices(meant):
            texts = " | ".join(_literal(str(text)) for text in choices(meant))
            rules.append(f"{rule}: {begin} ({texts}) {_literal(end)}")
        else:
            rules.append(f"{rule}: {begin} {rule}_text")
            rules.append(f"{rule}_text[suffix={_literal(end)}]: /(?s:.*)/")
    return [head + " ".join(parts), *rules]


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class _Written:
    """Texts as terminals of the grammar, with special tokens where they stand for a mark."""

    tokens: Mapping[str, int]

    def __call__(self, text: str) -> str:
        for mark, token in self.tokens.items():
            before, found, behind = text.partition(mark)
            if found:
                return f"{self(before)} <[{token}]> {self(behind)}".strip()
        return _literal(text) if text else ""


def _alternatives(tools: Sequence[Tool]) -> str:
    return " | ".join(f"tool{index}" for index in range(len(tools)))


def _check_names(tools: Sequence[Tool], offered: Sequence[Tool]) -> None:
    text = (
        "must have letters, digits, `_`, `-` and `.` only: this model writes names without quotes"
    )
    wrong = [
        Violation(f"tools[{index}].name", text)
        for index, tool in enumerate(tools)
        if tool in offered and NAME.fullmatch(tool.name) is None
    ]
    if wrong:
        raise InvalidRequest(wrong)
