"""Pydantic's JSON schema → the structural OpenAPI schema that a CustomResourceDefinition takes."""

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = ("title", "default", "$ref", "anyOf", "additionalProperties", "properties", "items")
_STRUCTURE = ("properties", "items", "additionalProperties")


def structural(model: type[BaseModel]) -> Schema:
    """Schema of a model: references inlined, no titles, no null branches, one line descriptions."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}))


def _convert(node: Schema, defs: dict[str, Schema]) -> Schema:
    node = _resolved(node, defs)
    result = {key: value for key, value in node.items() if key not in (*_DROPPED, "$defs")}
    if "description" in result:
        result["description"] = _described(node)
    if node.get("x-kubernetes-int-or-string"):
        return {**result, "anyOf": [{"type": "integer"}, {"type": "string"}], **_default(node)}
    if "properties" in node:
        fields = {name: _convert(field, defs) for name, field in node["properties"].items()}
        result["properties"] = fields
    if "items" in node:
        result["items"] = _convert(node["items"], defs)
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        result["additionalProperties"] = _convert(extra, defs)
    return {**result, **_default(node)}


def _described(node: Schema) -> str:
    """The description in one line, with the default: `kubectl explain` shows nothing else of it."""
    text = " ".join(str(node["description"]).split())
    default = node.get("default")
    if default in (None, "") or isinstance(default, (dict, list)) or "default" in text.lower():
        return text
    return f"{text} Default: {default}."


def _resolved(node: Schema, defs: dict[str, Schema]) -> Schema:
    """The node with its reference or its branch that is not null merged in; its own words win."""
    if node.get("x-kubernetes-int-or-string"):
        return node
    branches = [branch for branch in node.get("anyOf", []) if branch.get("type") != "null"]
    inner = branches[0] if branches else node
    if "$ref" in inner:
        inner = defs[inner["$ref"].rsplit("/", 1)[1]]
    if inner is node:
        return node
    own = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    return {**_resolved(inner, defs), **own}


def _default(node: Schema) -> Schema:
    """The default, where it says something.

    Whole structures, although their fields have defaults: rules are checked against it as it is.
    """
    default = _stripped(node.get("default"))
    return {} if default in (None, [], {}) else {"default": default}


def _stripped(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = {key: _stripped(field) for key, field in value.items()}
    return {key: field for key, field in fields.items() if field not in (None, [], {})}
