"""Building and pushing images with buildah, its storage inside our cache."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster import build_settings
from localcluster.commands import run, run_logged
from localcluster.locks import locked
from localcluster.paths import Cache


class Buildah:
    """Image storage and what is done with it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._storage = [
            "--root", str(cache.buildah / "root"),
            "--runroot", str(cache.buildah / "run"),
            "--storage-driver", "overlay",
        ]  # fmt: skip
        self._log = cache.root / "images.log"

    def build(
        self,
        dockerfile: Path,
        context: Path,
        *,
        arguments: Mapping[str, str] | None = None,
        tags: Sequence[str],
    ) -> str:
        """Build, reusing layers that did not change; return the image's id."""
        with (
            locked(self._cache.locks / "buildah"),
            tempfile.TemporaryDirectory(prefix="lepton-build-") as scratch,
        ):
            id_file = Path(scratch, "id")
            secrets = build_settings.write(Path(scratch))
            options = [f"--secret=id={name},src={path}" for name, path in secrets.items()]
            options += [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
            options += [f"--tag={tag}" for tag in tags]
            run_logged(
                [
                    "buildah", "bud", *self._storage, "--isolation", "chroot", "--layers",
                    "--iidfile", id_file, "--file", dockerfile,
                    *options, context,
                ],
                self._log,
                env={"TMPDIR": str(self._scratch())},
            )  # fmt: skip
            return id_file.read_text().strip()

    def push(self, image_id: str, target: str) -> None:
        """Copy an image to a registry that speaks plain HTTP; layers it has do not travel."""
        run_logged(
            [
                "buildah", "push", *self._storage, "--tls-verify=false",
                # Far quicker than gzip on few cores, and containerd reads it.
                "--compression-format", "zstd", image_id, f"docker://{target}",
            ],
            self._log,
            env={"TMPDIR": str(self._scratch())},
        )  # fmt: skip

    def image_id(self, name: str) -> str | None:
        """Return the id of an image in the storage; None when there is none of that name."""
        found = run(
            ["buildah", "inspect", *self._storage, "--type", "image",
             "--format", "{{.FromImageID}}", name],
            check=False,
        )  # fmt: skip
        return f"sha256:{found.stdout.strip()}" if found.returncode == 0 else None

    def forget_layers(self) -> None:
        """Remove what no named image needs: layers of earlier builds, and interrupted builds."""
        with locked(self._cache.locks / "buildah"):
            run(["buildah", "rm", *self._storage, "--all"])
            run(["buildah", "rmi", *self._storage, "--prune", "--force"])

    def _scratch(self) -> Path:
        """Return a folder for large temporary files: /tmp may be small."""
        folder = self._cache.buildah / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
