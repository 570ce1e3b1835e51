"""What every engine needs, for the parent that engines are forked from.

Importing this module is enough. It holds what any model takes; a model's own module is imported
when it is loaded.
"""

import contextlib
import importlib

from lepton_worker.backends.light_imports import light_imports

IMPORTED = (
    "lepton_worker.backends.native.backend",
    "lepton_worker.backends.transformers.families",
    "transformers.modeling_layers",
)


def _prepare() -> None:
    with light_imports():
        for module in IMPORTED:
            importlib.import_module(module)
    # transformers compiles a thousand patterns of weights' names when it loads its first model, and
    # keeps them. Only time is lost where another version has no such function.
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        mapping = importlib.import_module("transformers.conversion_mapping")
        mapping.get_checkpoint_conversion_mapping("llama")


_prepare()
