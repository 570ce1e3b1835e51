"""Images for the node: built by buildah, named by their content, pushed to the local registry."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster import bases, host, registry
from localcluster.buildah import Buildah
from localcluster.configs import REGISTRY
from localcluster.errors import Refused
from localcluster.paths import RECIPES, Cache, cache
from localcluster.progress import Progress

TAG_LENGTH = 16
SPARE_GIGABYTES = 10


@dataclass(frozen=True)
class Image:
    """An image in buildah's storage."""

    name: str
    id: str

    @property
    def tag(self) -> str:
        """A tag of its content, so that a rebuilt image is never mistaken for the one before."""
        return self.id.removeprefix("sha256:")[:TAG_LENGTH]

    @property
    def repository(self) -> str:
        """The repository as pods name it."""
        return f"{REGISTRY}/{self.name}"

    @property
    def reference(self) -> str:
        """The image as pods name it."""
        return f"{self.repository}:{self.tag}"


def build(
    dockerfile: Path,
    *,
    name: str,
    base: str,
    context: Path,
    build_args: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Image:
    """Build an image on one of our bases, which its Dockerfile takes as BASE_IMAGE."""
    progress = progress or Progress()
    where = cache()
    buildah = Buildah(where)
    arguments = {"BASE_IMAGE": bases.ensure(base, where, progress), **(build_args or {})}
    if host.free_gigabytes(where.root) < SPARE_GIGABYTES:
        # Every change of the tree leaves layers behind that no image needs any more.
        buildah.forget_layers()
    with progress.step(f"building image {name}"):
        made = buildah.build(
            dockerfile, context, arguments=arguments, tags=[f"localhost/{name}:latest"]
        )
    return Image(name, made)


def base_image(base: str, progress: Progress | None = None) -> Image:
    """Return one of our bases itself, for pods that need nothing else."""
    where = cache()
    local = bases.ensure(base, where, progress or Progress())
    return Image(f"lepton-{base}", Buildah(where).image_id(local) or "")


def push(image: Image, port: int, where: Cache, progress: Progress | None = None) -> str:
    """Bring an image into the registry unless it is there; return its reference for pods."""
    if registry.digest(port, image.name, image.tag) is None:
        with (progress or Progress()).step(f"pushing image {image.name}"):
            Buildah(where).push(image.id, f"127.0.0.1:{port}/{image.name}:{image.tag}")
    if registry.digest(port, image.name, image.tag) is None:
        raise Refused(f"the registry does not have {image.reference} although it was pushed")
    return image.reference


def pause_reference(binary: Path) -> str:
    """Return the name of the image of a pod's first process."""
    return f"{REGISTRY}/pause:{_pause_tag(binary)}"


def push_pause(where: Cache, port: int, binary: Path) -> None:
    """Bring the image of a pod's first process into the registry unless it is there."""
    tag = _pause_tag(binary)
    if registry.digest(port, "pause", tag) is None:
        buildah = Buildah(where)
        made = buildah.build(RECIPES / "pause" / "Dockerfile", binary.parent, tags=[])
        buildah.push(made, f"127.0.0.1:{port}/pause:{tag}")


def _pause_tag(binary: Path) -> str:
    recipe = (RECIPES / "pause" / "Dockerfile").read_bytes()
    return hashlib.sha256(recipe + binary.read_bytes()).hexdigest()[:TAG_LENGTH]


def describe(image: Image) -> str:
    """Return what a script needs to know of an image."""
    return json.dumps(
        {
            "image": image.reference,
            "repository": image.repository,
            "tag": image.tag,
            "id": image.id,
        }
    )
