"""Calls of tools in XML, as Qwen3-Coder and its relatives write them:

    <tool_call>
    <function=clock>
    <parameter=zone>
    Europe/Rome
    </parameter>
    </function>
    </tool_call>

Values are texts without quotes, or JSON: which of both, the tool's schema says.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lepton_worker.tasks.chat import json_object
from lepton_worker.tasks.tool_schema import referred

FUNCTION, PARAMETER = "<function=", "<parameter="
PARAMETER_END, FUNCTION_END = "</parameter>", "</function>"

CALL = re.compile(
    r"(?:<tool_call>\s*)?<function=([^>\n]+)>(.*?)</function>(?:\s*</tool_call>)?", re.DOTALL
)
ONE = re.compile(r"\s*<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)


def found_calls(text: str) -> Iterator[tuple[str, tuple[int, int], dict[str, str]]]:
    """Each whole call: its name, its place, and its arguments as texts."""
    for match in CALL.finditer(text):
        values: dict[str, str] = {}
        place, body = 0, match[2]
        while (part := ONE.match(body, place)) is not None:
            values[part[1].strip()] = part[2]
            place = part.end()
        if not body[place:].strip():
            yield match[1].strip(), match.span(), values


def typed(arguments: str, schema: Mapping[str, Any]) -> str:
    """Arguments that are all texts, with those that the schema wants otherwise read as JSON."""
    values = json_object(arguments) or {}
    properties = schema.get("properties", {})
    known = properties if isinstance(properties, dict) else {}
    made = {name: _value(text, known.get(name, True), schema) for name, text in values.items()}
    return json.dumps(made, ensure_ascii=False)


def is_text(schema: Any) -> bool:
    """Whether values are texts: of type string, or one of several strings."""
    if not isinstance(schema, dict):
        return False
    kind, texts = schema.get("type"), choices(schema)
    return kind == "string" or (kind is None and all(isinstance(item, str) for item in texts))


def choices(schema: Mapping[str, Any]) -> list[Any]:
    """The only values that a schema takes; one that is no text where it takes others."""
    found = schema.get("enum", [schema.get("const")])
    return found if isinstance(found, list) and found else [None]


def resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """The schema itself, or what it refers to."""
    if isinstance(schema, dict) and "$ref" in schema:
        return referred(root, schema["$ref"])
    return schema


def _value(text: str, schema: Any, root: Mapping[str, Any]) -> Any:
    if is_text(resolved(schema, root)):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
