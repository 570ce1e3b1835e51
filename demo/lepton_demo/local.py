"""The demo on a cluster of its own on this machine."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from lepton_demo import install, models, processes
from lepton_demo.errors import CommandFailed, DemoError, Refused
from lepton_demo.kubectl import Kubectl
from lepton_demo.options import Images, Options
from lepton_demo.reach import Direct, Reach
from lepton_demo.site import CHART, EXAMPLES, REPOSITORY, Note, Preparation, python

OPERATOR = ("Dockerfile.operator", "base")
WORKER = ("Dockerfile.worker", "base-torch")


class Local:
    """Kubernetes, registry, images and models, all made here."""

    examples = EXAMPLES / "local"
    random_weights = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._environ = dict(os.environ)
        self._images: Images | None = options.images
        self._up = False
        self.warm = True
        self.touched = False

    @property
    def kubectl(self) -> Kubectl:
        """kubectl for the local cluster."""
        assert self._up
        return Kubectl(self._environ)

    def preparations(self) -> Sequence[Preparation]:
        """From nothing to Lepton and a volume with models."""
        return (
            Preparation("Preflight", self._preflight),
            Preparation("Kubernetes", self._cluster),
            Preparation("Images", self._build),
            Preparation("Model folders", self._models),
            Preparation("Lepton", self._install),
        )

    def reach(self, namespace: str) -> Reach:
        """This machine is the node: Service and pod addresses answer."""
        return Direct(self.kubectl, namespace)

    async def down(self, note: Note) -> str:
        """Take the cluster down, and everything on it."""
        argv = [sys.executable, "-m", "localcluster", "down", self._options.cluster]
        await processes.run(argv, environ=self._environ, on_line=note)
        return "the local cluster is gone; built programs, images and models stay in the cache"

    def down_command(self) -> str:
        """What ends it."""
        return self._options.down_command()

    def shell(self) -> Sequence[str]:
        """Point the shell at the local cluster."""
        name = "" if self._options.cluster == "default" else f" {self._options.cluster}"
        return (f'eval "$({python()} -m localcluster env{name})"',)

    async def _preflight(self, note: Note) -> str:
        note("looking for what a local cluster needs")
        for path in (CHART / "Chart.yaml", REPOSITORY / OPERATOR[0], REPOSITORY / WORKER[0]):
            if not path.is_file():
                raise Refused(f"{path} is missing; run the demo from a complete checkout")
        models.encoder_weights()
        if not sys.platform.startswith("linux") or os.geteuid() != 0:
            raise Refused(
                "A local cluster needs Linux and root: run `sudo make demo`, "
                "or `make demo CLUSTER=current` for the cluster that your kubectl points to"
            )
        return "Linux, root, a complete checkout"

    async def _cluster(self, note: Note) -> str:
        self.touched = True
        found = await self._child(note, "up", self._options.cluster)
        self._environ["KUBECONFIG"] = found["kubeconfig"]
        paths = [*found["path"], self._environ.get("PATH", "")]
        self._environ["PATH"] = os.pathsep.join(paths)
        self._up = True
        self.warm = self.warm and found["reused"]
        version = (await self.kubectl.raw("/version") or {}).get("gitVersion", "")
        return f"{version}, node {found['node']}" + (", was up" if found["reused"] else "")

    async def _build(self, note: Note) -> str:
        if self._images is not None:
            return f"as told: {self._images.operator}, {self._images.worker}"
        built = []
        for dockerfile, base in (OPERATOR, WORKER):
            path = str(REPOSITORY / dockerfile)
            built.append(await self._child(note, "image", self._options.cluster, path, base))
        self._images = Images(built[0]["reference"], built[1]["reference"])
        reused = all(image["reused"] for image in built)
        self.warm = self.warm and reused
        return "nothing changed, reused" if reused else "built and pushed"

    async def _models(self, note: Note) -> str:
        folder = models.cache(os.environ)
        made = await models.prepare(folder, note)
        namespace = self._options.namespace
        await install.ensure_namespace(self.kubectl, namespace)
        await self._child(
            note, "volume", self._options.cluster, models.CLAIM, str(folder), namespace
        )
        self.warm = self.warm and not made
        return f"{folder} as claim {models.CLAIM}"

    async def _install(self, note: Note) -> str:
        assert self._images is not None
        release = install.Release(self.kubectl, self._options.system_namespace)
        await install.ensure_namespace(self.kubectl, release.namespace)
        return await install.upgrade(release, self._images, note)

    async def _child(self, note: Note, *words: str) -> dict[str, Any]:
        argv = [sys.executable, "-m", "lepton_demo.local_child", *words]
        try:
            answer = await processes.run(argv, environ=self._environ, on_line=note)
        except CommandFailed as error:
            raise DemoError(error.output) from None
        found: dict[str, Any] = json.loads(answer)
        return found
