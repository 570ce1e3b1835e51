"""What can go wrong with the local cluster, as sentences for the person in front of it.

LocalClusterError
├── Refused          this machine or its state cannot do what was asked; says what to change
│   └── NodeTaken    another cluster has the machine's node; it may come free
├── ComponentFailed  a process of the cluster did not come up or died; carries its last log lines
├── CommandFailed    a tool we ran ended with an error; carries its output
└── DeadlinePassed   something waited for did not happen in time
"""

from collections.abc import Sequence
from pathlib import Path


class LocalClusterError(Exception):
    """Any failure of the local cluster."""


class Refused(LocalClusterError):
    """Asked for something that cannot be done here."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(self.problems))


class NodeTaken(Refused):
    """The machine's one node belongs to another cluster."""


class ComponentFailed(LocalClusterError):
    """One component is not running although it should be."""

    def __init__(self, component: str, reason: str, log: Path, tail: str) -> None:
        self.component = component
        super().__init__(f"{component} {reason}; the end of {log}:\n{tail}")


class CommandFailed(LocalClusterError):
    """A command ended with an error."""

    def __init__(self, argv: Sequence[str], returncode: int, output: str) -> None:
        self.returncode = returncode
        self.output = output
        super().__init__(f"{' '.join(argv)} ended with {returncode}:\n{output.strip()}")


class DeadlinePassed(LocalClusterError):
    """Time ran out while waiting."""
