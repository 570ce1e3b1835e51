"""Which backend a folder gets: as asked, or for `auto` the one that is made for it."""

import logging
from pathlib import Path

from lepton_worker.backends.vllm.choice import preferred, refusal
from lepton_worker.settings import Settings
from lepton_worker.source.folder import read_config
from lepton_worker.source.onnx import BACKEND as ONNX
from lepton_worker.source.onnx import runs_onnx
from lepton_worker.source.vllm import BACKEND as VLLM
from lepton_worker.source.vllm import installed
from lepton_worker.tasks.choose import Nature, nature
from lepton_worker.tasks.pooling import declares_pooling

log = logging.getLogger(__name__)


def backend_for(settings: Settings, folder: Path) -> str:
    """The backend to open. May import vLLM, where it is installed and there is a GPU."""
    if runs_onnx(settings.backend, folder):
        return ONNX
    model = nature(read_config(folder), declares_pooling(folder))
    return VLLM if _prefers_vllm(settings, folder, model) else settings.backend


def generates(task: str, model: Nature) -> bool:
    """Whether a decoder is to be served for what it is."""
    if model.encoder_decoder or not model.generates:
        return False
    return task == "generate" or (task == "auto" and not model.sentence_encoder)


def _prefers_vllm(settings: Settings, folder: Path, model: Nature) -> bool:
    there = settings.backend == "auto" and installed()
    if not preferred(
        settings.backend,
        settings.device,
        settings.quantization,
        generates=generates(settings.task, model),
        installed=there,
        gpu=there and _sees_gpu(),
    ):
        return False
    from lepton_worker.backends.vllm.facts import defaults_of
    from lepton_worker.backends.vllm.library import Library

    library = Library()
    reason = refusal(model.architecture, library.architectures, defaults_of(folder))
    if library.for_cpu:
        reason = "the vLLM here is built for CPUs"
    if reason:
        log.info("not served by vLLM: %s", reason)
    return not reason


def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
