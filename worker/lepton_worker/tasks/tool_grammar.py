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
        schema = json.dumps({**arguments_schema(tool), "x-guidance": dict(json_options)})
        lines.append(f"tool{index}: {written(name + layout.arguments)} %json {schema}")
    return Constraint("grammar", ("\n".join(lines),))


@dataclass(frozen=True)
class _Written:
    """Texts as terminals of the grammar, with special tokens where they stand for a mark."""

    tokens: Mapping[str, int]

    def __call__(self, text: str) -> str:
        for mark, token in self.tokens.items():
            before, found, behind = text.partition(mark)
            if found:
                return f"{self(before)} <[{token}]> {self(behind)}".strip()
        return json.dumps(text, ensure_ascii=False) if text else ""


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
