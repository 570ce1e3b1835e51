"""When vLLM runs a model: asked for, or the better choice; and why it cannot."""

from lepton_worker.errors import InvalidSetting, TaskNotSupported
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Beams, Task

AUTO = ("auto", "none")
"""Settings for quantization that leave the checkpoint's own format alone, as vLLM reads it."""


def preferred(
    backend: str, device: str, quantization: str, *, generates: bool, installed: bool, gpu: bool
) -> bool:
    """Whether `auto` should ask vLLM: on a GPU, for decoders, with nothing asked that is not its.

    What else speaks against it is known only once vLLM is imported: see `refusal`.
    """
    asked = backend == "auto" and device != "cpu" and quantization in AUTO
    return asked and installed and gpu and generates


def refusal(architecture: str, supported: frozenset[str], defaults: GenerationDefaults) -> str:
    """Why vLLM cannot serve a decoder as its own config wants; "" where it can."""
    if architecture not in supported:
        return f"vLLM has no {architecture}"
    fields = unserved(defaults)
    return f"vLLM has no {', '.join(fields)}, which generation_config.json sets" if fields else ""


def unserved(defaults: GenerationDefaults) -> list[str]:
    """What a model's generation config asks for and vLLM has not, by the names there."""
    wanted = {
        "no_repeat_ngram_size": defaults.no_repeat_ngram > 0,
        "begin_suppress_tokens": bool(defaults.suppressed_first),
        "forced_bos_token_id": bool(defaults.forced),
        "num_beams": defaults.beams != Beams() and defaults.beams.count > 1,
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def check_order(task: Task, device: str, quantization: str, *, gpu: bool, cpu_build: bool) -> str:
    """The device to use, cuda or cpu; raises InvalidSetting or TaskNotSupported with a remedy."""
    if task is not Task.GENERATE:
        raise TaskNotSupported(
            f"spec.engine.backend vllm serves generation alone, not {task}; backend auto serves it"
        )
    if quantization not in AUTO:
        raise InvalidSetting(
            f"spec.engine.quantization {quantization} is for weights on a CPU, and backend vllm "
            "takes checkpoints as they are quantized: leave it out, or take backend auto"
        )
    if device != "cpu" and not gpu:
        raise InvalidSetting(
            "spec.engine.backend vllm needs a GPU, and this worker sees none: ask for one in "
            "spec.resources.gpu, or take backend auto"
        )
    if (device == "cpu") != cpu_build:
        built = "CPUs" if cpu_build else "GPUs"
        raise InvalidSetting(
            f"the vLLM in this worker is built for {built}, and the device is {device}: use an "
            "image whose vLLM fits, or take backend auto"
        )
    return "cpu" if device == "cpu" else "cuda"
