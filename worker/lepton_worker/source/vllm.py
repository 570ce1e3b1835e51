"""Whether vLLM is there, told without importing it."""

import importlib.util

from lepton_worker.errors import InvalidSetting

BACKEND = "vllm"
PACKAGE = "vllm"


def installed() -> bool:
    """Whether this worker has vLLM."""
    return importlib.util.find_spec(PACKAGE) is not None


def check_installed(backend: str) -> None:
    """Raise InvalidSetting when vLLM is asked for and not there."""
    if backend == BACKEND and not installed():
        raise InvalidSetting(
            f"spec.engine.backend {BACKEND} needs the package {PACKAGE}, and this worker has none: "
            "name an image with vLLM and lepton in spec.podTemplate, or take backend auto, "
            "which serves models without it"
        )
