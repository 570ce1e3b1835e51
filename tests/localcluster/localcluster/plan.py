"""The decisions a cluster was started with, kept in its folder until it is gone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from localcluster.addresses import Ranges
from localcluster.ports import Ports
from localcluster.processes import Process


@dataclass(frozen=True)
class Options:
    """What the caller may choose."""

    node: bool = True
    # The autoscaler's own 15 s and 5 min would make every scaling test minutes long.
    default_periods: bool = False
    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    # Flags of components, by component and flag, over what this package would set.
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything that was decided before the first process started."""

    name: str
    options: Options
    host_ip: str
    ports: Ports
    ranges: Ranges
    # The cluster is taken down when this process ends; None: it stays until told.
    owner: Process | None = None

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://{self.host_ip}:{self.ports.apiserver}"

    @property
    def node_name(self) -> str:
        """The name of the real node."""
        return f"{self.name}-node"

    @property
    def cgroup(self) -> str:
        """The control group that holds all pods; by it their processes are found."""
        return f"/lepton-localcluster-{self.name}"


def save(plan: Plan, path: Path) -> None:
    """Write the plan so that readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(plan), indent=1))
    draft.replace(path)


def load(path: Path) -> Plan | None:
    """Read a plan; None when there is none."""
    try:
        return parse(json.loads(path.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def parse(raw: Mapping[str, Any]) -> Plan:
    """Build a plan from its JSON form, also one that an older or newer version wrote.

    Whatever wrote it, its cluster must at least be found and taken down.
    """
    owner = raw["owner"]
    options = {option.name for option in fields(Options)}
    return Plan(
        name=raw["name"],
        options=Options(**{name: raw["options"][name] for name in options & raw["options"].keys()}),
        host_ip=raw["host_ip"],
        ports=Ports(**{port.name: raw["ports"].get(port.name, 0) for port in fields(Ports)}),
        ranges=Ranges(**raw["ranges"]),
        owner=Process(**owner) if owner else None,
    )
