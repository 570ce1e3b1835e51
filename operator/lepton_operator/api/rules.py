"""CEL rules of the CRD, as values."""

from dataclasses import dataclass


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
