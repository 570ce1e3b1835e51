"""What differs between a local cluster and the one kubectl points to."""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lepton_demo.kubectl import Kubectl
from lepton_demo.reach import Reach

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "deploy" / "helm" / "lepton"
EXAMPLES = REPOSITORY / "examples"

Note = Callable[[str], None]
"""Says what a step does right now."""

Action = Callable[[Note], Awaitable[str]]
"""Does one step and returns what came of it, in a few words."""


@dataclass(frozen=True)
class Preparation:
    """One step towards a cluster with Lepton and models to serve."""

    label: str
    action: Action


def python() -> str:
    """What the user types for the Python that runs this."""
    inside = os.path.relpath(sys.executable)
    return sys.executable if inside.startswith("..") else inside


class Site(Protocol):
    """A cluster to run the demo on."""

    examples: Path
    """Folder of the LeptonModels to apply."""

    random_weights: bool
    """Whether all models but the encoder have random weights."""

    warm: bool
    """Whether everything needed was there already."""

    touched: bool
    """Whether anything was brought up that a user may want to end."""

    @property
    def kubectl(self) -> Kubectl:
        """kubectl for this cluster, once it is up."""

    def preparations(self) -> Sequence[Preparation]:
        """Everything to be done before models are applied, in order."""

    def reach(self, namespace: str) -> Reach:
        """How this machine gets to the models of a namespace."""

    async def down(self, note: Note) -> str:
        """End what the demo brought up, and nothing else."""

    def down_command(self) -> str:
        """What the user types for `down`."""

    def shell(self) -> Sequence[str]:
        """Commands that make kubectl speak to this cluster in the user's shell."""
