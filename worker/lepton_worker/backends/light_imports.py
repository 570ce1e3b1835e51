"""Import transformers without what an engine on one device never uses.

All of it is undone once the imports are over, and each part does nothing where another version of
torch or transformers is made differently: then only time is lost.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lepton_worker.backends.compiler_later import compiler_later


@contextlib.contextmanager
def light_imports() -> Iterator[None]:
    """Keep the compiler and the parts for many devices out; to be used by one thread."""
    with compiler_later(), _one_process(), _tables_once():
        yield


@contextlib.contextmanager
def _one_process() -> Iterator[None]:
    """As with a torch that was built without `torch.distributed`, which transformers asks for once.

    Its tensors in shards take 0.3 s to import, and only models over several processes have them.
    """
    with _replaced(torch.distributed, "is_available", lambda: False):
        yield


@contextlib.contextmanager
def _tables_once() -> Iterator[None]:
    """Have transformers read the names in its model files once.

    It does so for itself and again for its part `models`, a quarter of a second each: the cache in
    between has room for fewer folders than there are models.
    """
    import transformers
    from transformers.utils import import_utils

    models = Path(str(transformers.__file__)).parent / "models"
    name = "create_import_structure_from_path"
    read = getattr(import_utils, name, None)

    def read_once(path: Any) -> Any:
        # The package's file stands for its folder, which was the last one to be read.
        return read(models if str(path) == str(models / "__init__.py") else path)  # type: ignore[misc]

    with _replaced(import_utils, name, read_once):
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another value for an attribute, where there is one."""
    if not hasattr(owner, name):
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
