"""Whether an answer calls tools, as `tool_choice` and `parallel_tool_calls` of OpenAI's chat API
say it."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from lepton_worker.errors import Violation

MOST_NAMED = 8
"""Tools that an error lists."""


class ToolMode(enum.Enum):
    """Who decides whether there is a call."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True)
class ToolChoice:
    """What is asked for; `name` is the only tool that may be called, and it has to be."""

    mode: ToolMode = ToolMode.AUTO
    name: str = ""
    parallel: bool = True

    @property
    def forced(self) -> bool:
        """Whether the answer has to be a call."""
        return bool(self.name) or self.mode is ToolMode.REQUIRED

    @property
    def single(self) -> bool:
        """Whether there is one call at most."""
        return bool(self.name) or not self.parallel


def choice_violations(choice: ToolChoice, names: Sequence[str]) -> list[Violation]:
    """What is wrong with a choice among the tools of these names."""
    if choice.name and choice.mode in (ToolMode.AUTO, ToolMode.NONE):
        text = (
            f"a tool is named, so that mode must be required or left out, not {choice.mode.value}"
        )
        return [Violation("tool_choice.mode", text)]
    if choice.forced and not names:
        return [Violation("tools", "must have at least one tool for this tool_choice")]
    if choice.name and choice.name not in names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        known = ", ".join(names[:MOST_NAMED]) + more
        return [Violation("tool_choice.name", f"must be one of tools: {known}")]
    return []
