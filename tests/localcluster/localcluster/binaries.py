"""The programs of the cluster: found where they already are, else built from their Go modules.

Each folder below tools/ is a Go module that pins one of them; its go.mod is the only place where
a version is written down.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.commands import run, run_logged
from localcluster.errors import Refused
from localcluster.locks import locked
from localcluster.paths import TOOLS, Cache
from localcluster.progress import Progress

ASSETS_VARIABLES = ("LEPTON_TEST_ASSETS", "KUBEBUILDER_ASSETS")


@dataclass(frozen=True)
class Tool:
    """One Go module and the commands built from it."""

    name: str
    module: str
    commands: Mapping[str, str]
    version_flags: Mapping[str, str] = field(default_factory=dict)
    version_arguments: tuple[str, ...] = ("--version",)


def _kubernetes(*commands: str) -> Tool:
    return Tool(
        "kubernetes",
        "k8s.io/kubernetes",
        {command: f"k8s.io/kubernetes/cmd/{command}" for command in commands},
        # Without them the server calls itself v0.0.0 and compares feature gates wrongly.
        {
            "k8s.io/component-base/version.gitVersion": "v{version}",
            "k8s.io/component-base/version.gitMajor": "{major}",
            "k8s.io/component-base/version.gitMinor": "{minor}",
        },
    )


KUBERNETES = _kubernetes("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
KUBERNETES_NODE = _kubernetes("kubelet", "kube-proxy")
ETCD = Tool("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"})
COREDNS = Tool("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"})
REGISTRY = Tool(
    "registry",
    "github.com/distribution/distribution/v3",
    {"registry": "github.com/distribution/distribution/v3/cmd/registry"},
)
HELM = Tool(
    "helm",
    "helm.sh/helm/v4",
    {"helm": "helm.sh/helm/v4/cmd/helm"},
    {"helm.sh/helm/v4/internal/version.version": "v{version}"},
    ("version", "--short"),
)
GRPCURL = Tool(
    "grpcurl",
    "github.com/fullstorydev/grpcurl",
    {"grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl"},
    {"main.version": "v{version}"},
)
KWOK = Tool(
    "kwok",
    "sigs.k8s.io/kwok",
    {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
)
PAUSE = Tool("pause", "lepton.ai/localcluster/pause", {"pause": "."})

CONTROL_PLANE = (ETCD, KUBERNETES)
NODE = (KUBERNETES_NODE, COREDNS, REGISTRY, PAUSE)
CLIENTS = (GRPCURL, HELM)
ALL = (*CONTROL_PLANE, *NODE, *CLIENTS)


def version(tool: Tool, tools: Path = TOOLS) -> str:
    """Read the version from the tool's go.mod."""
    return pinned((tools / tool.name / "go.mod").read_text(), tool.module)


def pinned(go_mod: str, module: str) -> str:
    """Return the version, without its v, that a go.mod requires of a module."""
    own = re.search(r"^module (\S+)(?: // v(\S+))?$", go_mod, re.MULTILINE)
    if own and own[1] == module and own[2]:
        return own[2]
    found = re.search(rf"^(?:require|\t)\s*{re.escape(module)} v(\S+)", go_mod, re.MULTILINE)
    if not found:
        raise Refused(f"go.mod does not require {module}")
    return found[1]


def linker_flags(tool: Tool, pinned_version: str) -> str:
    """Return what go build is told of the version."""
    major, minor = [*pinned_version.split("."), "0"][:2]
    values = {"version": pinned_version, "major": major, "minor": minor}
    stamps = [f"-X {name}={text.format(**values)}" for name, text in tool.version_flags.items()]
    return " ".join(["-s", "-w", *stamps])


class Binaries:
    """Paths of commands, building what is missing."""

    def __init__(
        self, cache: Cache, progress: Progress, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._cache = cache
        self._progress = progress
        self._environ = environ

    def folder(self, tool: Tool) -> Path:
        """Return the cache folder of the pinned version."""
        return self._cache.root / f"{tool.name}-{version(tool)}"

    def find(self, tool: Tool, command: str) -> Path | None:
        """Return a command that is already there."""
        for variable in ASSETS_VARIABLES:
            if assets := self._environ.get(variable):
                candidate = Path(assets) / command
                if os.access(candidate, os.X_OK):
                    return candidate
        cached = self.folder(tool) / command
        if os.access(cached, os.X_OK):
            return cached
        return self._on_path(tool, command)

    def ensure(self, *tools: Tool) -> dict[str, Path]:
        """Return the path of every command of these tools; build those that are nowhere."""
        missing = [
            (tool, command)
            for tool in tools
            for command in tool.commands
            if self.find(tool, command) is None
        ]
        if missing:
            self._refuse_without_go([command for _, command in missing])
            with locked(self._cache.locks / "binaries", timeout=3600):
                for number, (tool, command) in enumerate(missing, 1):
                    self._build(tool, command, f"{number} of {len(missing)}")
        return {command: self._built(tool, command) for tool in tools for command in tool.commands}

    def _built(self, tool: Tool, command: str) -> Path:
        found = self.find(tool, command)
        if found is None:
            raise Refused(f"{command} {version(tool)} is missing although it was just built")
        return found

    def _build(self, tool: Tool, command: str, count: str) -> None:
        target = self.folder(tool) / command
        if target.exists():  # built by whoever held the lock before us
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".draft")
        with self._progress.step(f"building {command} {version(tool)} ({count}, once)"):
            run_logged(
                [
                    "go", "build", "-trimpath", "-ldflags", linker_flags(tool, version(tool)),
                    "-o", draft, tool.commands[command],
                ],
                self._cache.root / "build.log",
                env={
                    "CGO_ENABLED": "0",
                    "GOFLAGS": "-mod=readonly -buildvcs=false",
                    "GOWORK": "off",
                },
                cwd=TOOLS / tool.name,
            )  # fmt: skip
        draft.replace(target)

    def _on_path(self, tool: Tool, command: str) -> Path | None:
        found = shutil.which(command, path=self._environ.get("PATH"))
        if found is None:
            return None
        said = run([found, *tool.version_arguments], check=False, timeout=20)
        words = re.split(r"[^0-9A-Za-z.+-]+", said.stdout + said.stderr)
        wanted = version(tool)
        return Path(found) if {wanted, f"v{wanted}"} & set(words) else None

    def _refuse_without_go(self, missing: Sequence[str]) -> None:
        if shutil.which("go", path=self._environ.get("PATH")) is None:
            raise Refused(
                f"{', '.join(missing)} must be built, but there is no Go: install Go, "
                f"or name a folder that has them in {ASSETS_VARIABLES[0]}"
            )
