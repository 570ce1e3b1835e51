"""The demo on the cluster that kubectl points to: asks nothing, deletes nothing it did not make."""

import os
import shutil
from collections.abc import Sequence

from lepton_demo import install, processes
from lepton_demo.errors import CommandFailed, Refused
from lepton_demo.kubectl import Kubectl
from lepton_demo.options import Options
from lepton_demo.reach import Forwarded, Reach
from lepton_demo.site import EXAMPLES, Note, Preparation


class Current:
    """Somebody's cluster."""

    examples = EXAMPLES / "hub"
    random_weights = False
    warm = False
    touched = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._kubectl = Kubectl(dict(os.environ), options.context)

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the user has it."""
        return self._kubectl

    def preparations(self) -> Sequence[Preparation]:
        """Look first, then install only what is missing."""
        return (
            Preparation("Preflight", self._preflight),
            Preparation("Cluster", self._cluster),
            Preparation("Lepton", self._install),
        )

    def reach(self, namespace: str) -> Reach:
        """Through the API server."""
        return Forwarded(self._kubectl, namespace)

    def down_command(self) -> str:
        """What ends it."""
        return self._options.down_command()

    def shell(self) -> Sequence[str]:
        """The user's kubectl is right already."""
        return ()

    async def down(self, note: Note) -> str:
        """Delete the namespaces and the release that carry the demo's mark."""
        gone = []
        if await self._drop(self._options.namespace, note):
            gone.append(f"namespace {self._options.namespace}")
        if await install.ours(self._release()):
            note("helm uninstall")
            argv = self._release().helm("uninstall", install.NAME, "--wait")
            await processes.run(argv, environ=self._kubectl.environ, on_line=note)
            gone.append(f"release {install.NAME}")
            if await self._drop(self._options.system_namespace, note):
                gone.append(f"namespace {self._options.system_namespace}")
        return f"gone: {', '.join(gone)}" if gone else "nothing here was made by the demo"

    async def _preflight(self, note: Note) -> str:
        for program in ("kubectl", "helm"):
            note(f"looking for {program}")
            if shutil.which(program) is None:
                raise Refused(f"{program} is not on the PATH; install it first")
        return "kubectl and helm"

    async def _cluster(self, note: Note) -> str:
        note("asking for its version")
        context = self._options.context or await self._current_context()
        try:
            server = await self._kubectl.run(
                "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"
            )
            version = (await self._kubectl.raw("/version") or {}).get("gitVersion")
        except CommandFailed as error:
            raise Refused(f"The context {context} cannot be used: {error.output}") from None
        if version is None:
            raise Refused(f"The API server of context {context} ({server}) does not answer")
        return f"context {context}: {server}, {version}"

    async def _install(self, note: Note) -> str:
        release, images = self._release(), self._options.images
        where = await install.serving_namespace(self._kubectl)
        if where is None and images is None:
            raise Refused(
                "Lepton is not installed in this cluster: give --operator-image and --worker-image "
                "(REPOSITORY:TAG; README.md says how to build them), or install its chart yourself"
            )
        await self._claim_namespace()
        if images is None or (where is not None and not await install.ours(release)):
            return f"was installed in {where} and is left as it is"
        await install.ensure_namespace(self._kubectl, release.namespace)
        return await install.upgrade(release, images, note)

    async def _claim_namespace(self) -> None:
        namespace = self._options.namespace
        self.touched = True
        await install.ensure_namespace(self._kubectl, namespace)
        if not await install.is_marked(self._kubectl, namespace):
            raise Refused(
                f"The namespace {namespace} exists and was not made by the demo; "
                "choose another with --namespace"
            )

    async def _current_context(self) -> str:
        try:
            return (await self._kubectl.run("config", "current-context")).strip()
        except CommandFailed:
            raise Refused(
                "kubectl has no current context; set one with `kubectl config use-context NAME`, "
                "or run `make demo` without CLUSTER=current for a local cluster"
            ) from None

    async def _drop(self, namespace: str, note: Note) -> bool:
        if not await install.is_marked(self._kubectl, namespace):
            return False
        note(f"deleting namespace {namespace}")
        await self._kubectl.run("delete", "namespace", namespace)
        return True

    def _release(self) -> install.Release:
        return install.Release(self._kubectl, self._options.system_namespace)
