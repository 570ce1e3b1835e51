"""kubectl against one API server, with failures that say what happened in the cluster."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

from localcluster import manifests
from localcluster.commands import run
from localcluster.errors import CommandFailed, DeadlinePassed
from localcluster.waiting import until

T = TypeVar("T")
Manifests = str | Mapping[str, Any] | Iterable[Mapping[str, Any]]
FIELD_MANAGER = "localcluster"
# How much of its pods a failure tells.
LOG_PODS = 6
LOG_LINES = 40


class Kubectl:
    """Runs kubectl with one kubeconfig."""

    def __init__(self, binary: Path, kubeconfig: Path) -> None:
        self._binary = binary
        self.kubeconfig = kubeconfig

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - the name subprocess gives it
        check: bool = True,
        timeout: float = 120,
    ) -> CompletedProcess[str]:
        """Run kubectl with these arguments."""
        argv: list[str | Path] = [self._binary, "--kubeconfig", self.kubeconfig, *args]
        return run(argv, input=input, check=check, timeout=timeout)

    def get(self, *args: str) -> dict[str, Any]:
        """Return what kubectl gets, as parsed JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json").stdout)
        return found

    def apply(self, manifest: Manifests, *, namespace: str | None = None) -> None:
        """Apply YAML text, one object or several, server side."""
        if isinstance(manifest, str):
            text = manifest
        elif isinstance(manifest, Mapping):
            text = json.dumps(manifest)
        else:
            text = manifests.as_list(manifest)
        flags = ["--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}"]
        self.kubectl("apply", *flags, *_in(namespace), "-f", "-", input=text)

    def wait(
        self, target: str, condition: str, *, namespace: str | None = None, timeout: float = 60
    ) -> None:
        """Wait for a condition, a JSON path (jsonpath=...), create or delete."""
        end = time.monotonic() + timeout
        done = self._wait(target, condition, namespace, timeout)
        if done.returncode != 0 and "NotFound" in done.stderr:
            # kubectl gives up at once on what does not exist yet; we do not.
            done = self._wait(target, "create", namespace, end - time.monotonic())
            if done.returncode == 0 and condition != "create":
                done = self._wait(target, condition, namespace, end - time.monotonic())
        if done.returncode != 0:
            report = self.story(namespace, target)
            raise DeadlinePassed(f"{target} is not {condition}: {done.stderr.strip()}\n{report}")

    def _wait(
        self, target: str, condition: str, namespace: str | None, timeout: float
    ) -> CompletedProcess[str]:
        plain = condition in ("delete", "create") or "=" in condition
        wanted = condition if plain else f"condition={condition}"
        limit = max(timeout, 1)
        flags = [f"--for={wanted}", f"--timeout={limit:g}s", *_in(namespace)]
        return self.kubectl("wait", target, *flags, check=False, timeout=limit + 30)

    def eventually(
        self,
        probe: Callable[[], T | None],
        what: str,
        *,
        timeout: float = 60,
        namespace: str | None = None,
    ) -> T:
        """Poll until the probe returns something true; what it raises meanwhile is shown last."""
        last: list[Exception] = []

        def patient() -> T | None:
            try:
                return probe()
            except (AssertionError, CommandFailed, LookupError, OSError) as error:
                last[:] = [error]
                return None

        try:
            return until(patient, what, timeout)
        except DeadlinePassed as error:
            reason = f"\nlast: {last[0]!r}" if last else ""
            story = f"\n{self.story(namespace)}" if namespace else ""
            raise DeadlinePassed(f"{error}{reason}{story}") from None

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """Give a fresh namespace, removed when the block ends."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.kubectl("create", "namespace", name)
        try:
            # Pods are refused until the namespace has its account.
            self.wait("serviceaccount/default", "create", namespace=name, timeout=30)
            yield name
        finally:
            self._leave(name)

    def story(self, namespace: str | None, target: str | None = None) -> str:
        """Tell what the cluster says of a namespace, and of one object in it."""
        place = _in(namespace)
        asked = [["get", "pods,events", "--sort-by=.metadata.creationTimestamp", *place]]
        if target:
            asked.insert(0, ["describe", target, *place])
        pods = self.kubectl("get", "pods", "-o", "name", *place, check=False).stdout.split()
        tail = ["--all-containers", "--prefix", f"--tail={LOG_LINES}"]
        asked += [["logs", pod, *tail, *place] for pod in pods[:LOG_PODS]]
        told = []
        for args in asked:
            said = self.kubectl(*args, check=False)
            told.append(f"--- kubectl {' '.join(args)}\n{said.stdout}{said.stderr}")
        return "\n".join(told)

    def _leave(self, namespace: str) -> None:
        """Remove a namespace without waiting, and at once what would hold the machine's CPUs."""
        label = f"{manifests.NAMESPACE_LABEL}={namespace}"
        self.kubectl("delete", "namespace", namespace, "--wait=false", check=False)
        # A namespace on its way out takes no new pods, so no controller brings them back.
        now = ["--grace-period=0", "--force", "--wait=false"]
        self.kubectl("delete", "pods", "--all", *now, *_in(namespace), check=False)
        self.kubectl("delete", "persistentvolumes", "-l", label, "--wait=false", check=False)


def _in(namespace: str | None) -> list[str]:
    return ["--namespace", namespace] if namespace else []
