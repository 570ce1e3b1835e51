"""Backends by name. Importing this package loads no engine; opening a backend does."""

from collections.abc import Callable

from lepton_worker.backends.base import Backend
from lepton_worker.model import Families


def open_backend(name: str, step_seconds: float = 0.0) -> Backend:
    """The backend of that name; takes as long as its imports do.

    `auto` is `native`, which leaves models that it does not fit to stock transformers. Folders that
    have ONNX files alone are the caller's to tell (`source.onnx.runs_onnx`), and those that vLLM
    runs better (`backends.vllm.choice.preferred`).
    """
    if name == "echo":
        from lepton_worker.backends.echo import EchoBackend

        return EchoBackend(step_seconds)
    if name == "transformers":
        from lepton_worker.backends.transformers.backend import TransformersBackend

        return TransformersBackend()
    if name == "onnxruntime":
        from lepton_worker.backends.onnx.backend import OnnxBackend

        return OnnxBackend()
    if name == "vllm":
        from lepton_worker.backends.vllm.backend import VllmBackend

        return VllmBackend()
    from lepton_worker.backends.native.backend import NativeBackend

    return NativeBackend(strict=name == "native")


def known_families(name: str) -> Callable[[str], Families]:
    """The model types that a backend knows, given the one that is asked about."""
    if name == "onnxruntime":
        return _any
    from lepton_worker.backends.transformers.families import families

    return lambda model_type: families()


def _any(model_type: str) -> Families:
    """A graph needs no class of a library: its inputs and outputs say whether it serves."""
    this = frozenset([model_type])
    return Families(known=this, text=this, causal=frozenset(), masked=this, seq2seq=this)
