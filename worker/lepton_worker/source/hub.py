"""Fetching a model from the Hugging Face hub into the cache folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from lepton_worker.errors import InvalidSetting, LoadError, SourceNotFound, SourceUnreachable

SCHEME = "hf://"
ADDRESS = re.compile(r"hf://(?P<model>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")

SAFETENSORS = ["*.safetensors"]
DESCRIBING = ["*.json", "*.txt", "*.model", "*.spm"]
NOT_WANTED = [
    # The same weights once more, in other forms.
    "consolidated*",
    "original/*",
    *(f"onnx/{kind}" for kind in (*SAFETENSORS, *DESCRIBING)),
    "openvino/*",
    "coreml/*",
    "gguf/*",
    "training_args*",
    "optimizer*",
    "checkpoint-*/*",
]


def fetch(source: str, cache_dir: Path, weights: Sequence[str] = SAFETENSORS) -> Path:
    """Fetch what is not there yet and return the folder; raises LoadError.

    `weights` are patterns of the files with weights. The client reads `HF_TOKEN` and `HF_ENDPOINT`.
    """
    match = ADDRESS.fullmatch(source)
    if match is None:
        raise InvalidSetting(
            f"{source!r} is no hub address; it reads hf://<organisation>/<model>, "
            "with @<revision> behind it if need be"
        )
    model, revision = match["model"], match["revision"]
    try:
        return _download(model, revision, cache_dir, weights)
    except LoadError:
        raise
    except Exception as error:
        raise _translated(error, model, revision, cache_dir) from error


def _download(model: str, revision: str | None, cache_dir: Path, weights: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        model,
        revision=revision,
        cache_dir=cache_dir / "hub",
        allow_patterns=[*weights, *DESCRIBING],
        ignore_patterns=NOT_WANTED,
    )
    return Path(folder)


def _translated(error: Exception, model: str, revision: str | None, cache_dir: Path) -> LoadError:
    from huggingface_hub import constants, errors

    hub = constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        return SourceNotFound(
            f"{model} is gated on {hub}: accept its conditions there, and give the worker "
            "HF_TOKEN of that account through sourceSecret"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return SourceNotFound(
            f"{hub} knows no model {model}, or it is private: check the name, and for a private "
            "one give the worker HF_TOKEN through sourceSecret"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return SourceNotFound(f"{model} on {hub} has no revision {revision}")
    if isinstance(error, OSError) and error.filename is not None:
        return SourceUnreachable(
            f"{model} could not be stored in {cache_dir}: {error.strerror}; "
            "the cache folder has to be writable and large enough"
        )
    return SourceUnreachable(
        f"{model} could not be fetched from {hub}: {error}. Check network, proxy and HF_ENDPOINT, "
        "or put the model on a volume (pvc://)"
    )
