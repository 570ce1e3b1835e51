"""What can stop the demo, as sentences for the person in front of it.

DemoError
├── Refused          this machine, or an option, does not allow what was asked; says what to change
├── CommandFailed    a tool we ran ended with an error; carries the end of its output
├── NotReached       something waited for did not happen in time; says where to look
└── Unanswered       a worker refused a question; carries the gRPC status
"""

from collections.abc import Sequence

KEPT_LINES = 12


class DemoError(Exception):
    """Any end of the demo before its end."""


class Refused(DemoError):
    """Asked for something that cannot be done here."""


class CommandFailed(DemoError):
    """A command ended with an error."""

    def __init__(self, argv: Sequence[str], returncode: int, output: str) -> None:
        self.returncode = returncode
        self.output = output
        tail = "\n".join(output.strip().splitlines()[-KEPT_LINES:])
        super().__init__(f"{' '.join(argv)}\nended with status {returncode}:\n{tail}")


class NotReached(DemoError):
    """Time ran out while waiting."""

    def __init__(self, what: str, look: Sequence[str]) -> None:
        commands = "\n".join(f"  {command}" for command in look)
        super().__init__(f"{what}\nWhere to look:\n{commands}")


class Unanswered(DemoError):
    """A question was not answered."""
