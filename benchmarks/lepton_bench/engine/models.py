"""The models of the suite: known shapes with random weights, made once and kept."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VERSION = "1"
"""Part of the folder's name: raise it when what is made changes."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lepton"
FOLDER = CACHE / "bench-models" / VERSION


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, named as in transformers' configurations."""

    name: str
    like: str
    """A known model of these sizes."""
    layers: int
    hidden: int
    inner: int
    heads: int
    key_value_heads: int
    vocabulary: int
    positions: int
    task: str
    gated: bool = False
    tied: bool = False
    """The matrix of the embeddings makes the logits, too."""

    @property
    def matrix_weights(self) -> int:
        """Weights of the matrices that each token is multiplied with, in all layers."""
        narrow = self.hidden // self.heads * self.key_value_heads
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * narrow
        return self.layers * (attention + (3 if self.gated else 2) * self.hidden * self.inner)

    @property
    def head_weights(self) -> int:
        """Weights of the matrix that makes the logits of a decoder."""
        return self.hidden * self.vocabulary if self.task == "generate" else 0

    def cache_bytes(self, tokens: int, number_bytes: int = 4) -> int:
        """Bytes of keys and values of so many tokens."""
        narrow = self.hidden // self.heads * self.key_value_heads
        return 2 * self.layers * narrow * tokens * number_bytes

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return FOLDER / self.name


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("e1", "BERT-base", 12, 768, 3072, 12, 12, 30522, 512, "classify"),
        Shape("e2", "MiniLM-L6", 6, 384, 1536, 12, 12, 30522, 512, "embed"),
        Shape("d1", "Llama 125M", 12, 768, 2048, 12, 4, 32000, 2048, "generate", gated=True),
        Shape(
            "d2",
            "Qwen2.5-0.5B",
            24,
            896,
            4864,
            14,
            2,
            151936,
            2048,
            "generate",
            gated=True,
            tied=True,
        ),
    )
}


def ensure(name: str) -> Shape:
    """The shape of a model whose files exist, made now if need be (a minute)."""
    shape = SHAPES[name]
    if not (shape.folder / "done").exists():
        module = "lepton_bench.engine.make_model"
        subprocess.run([sys.executable, "-m", module, name], check=True)
    return shape
