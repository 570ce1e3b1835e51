"""CEL rules of the CRD, as values."""

from dataclasses import dataclass

from pydantic import ConfigDict, JsonValue


@dataclass(frozen=True)
class Rule:
    """A rule over `self`, the message that its violation shows, and the field that it blames."""

    cel: str
    message: str
    field: str | None = None

    def schema(self) -> dict[str, str]:
        """Entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        return {**entry, "fieldPath": self.field} if self.field else entry


def validated(*rules: Rule) -> ConfigDict:
    """Configuration of a type whose schema carries these rules."""
    entries: list[JsonValue] = [dict(rule.schema()) for rule in rules]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": entries})
