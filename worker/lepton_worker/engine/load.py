"""From settings to a backend that answers, phase by phase."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from lepton_worker.backends import known_families, open_backend
from lepton_worker.backends.base import (
    Backend,
    CudaGraphs,
    Kv,
    LoadOrder,
    Method,
    Quantization,
    Speculation,
)
from lepton_worker.engine.choosing import backend_for
from lepton_worker.engine.messages import Source
from lepton_worker.errors import LeptonError, LoadError, WeightsCorrupt
from lepton_worker.limits import available_threads, memory_limit
from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.settings import Settings
from lepton_worker.source.folder import read_config
from lepton_worker.tasks.choose import choose_task, nature
from lepton_worker.tasks.pooling import declares_pooling, read_pooling

log = logging.getLogger(__name__)

Record = Callable[[str, float], None]
"""(phase, seconds)"""


def load(
    settings: Settings, source: Source, record: Record, imported: float = 0.0
) -> tuple[Backend, Model]:
    """Import, load and warm up; raises LoadError.

    The folders of `source` have been checked. `imported` counts for the import.
    """
    folder = source.folder
    if settings.backend == "echo":
        backend = open_backend("echo", settings.echo_delay_ms / 1000)
        return backend, backend.load(_echo_order(settings))
    with _phase("import", lambda name, seconds: record(name, seconds + imported)):
        chosen = backend_for(settings, folder)
        backend = open_backend(chosen)
        families = known_families(chosen)
    with _phase("load", record), _known_failures(folder):
        asked = nature(read_config(folder), declares_pooling(folder))
        order = LoadOrder(
            folder=folder,
            task=choose_task(settings.task, asked, families(asked.model_type)),
            device=settings.device,
            dtype=settings.dtype,
            max_length=settings.max_model_length,
            threads=settings.threads or available_threads(),
            memory=memory_limit(),
            pooling=read_pooling(folder),
            quantization=cast(Quantization, settings.quantization),
            kv=cast(Kv, settings.kv),
            cuda_graphs=cast(CudaGraphs, settings.cuda_graphs),
            slots=settings.max_batch_size,
            verdicts=source.verdicts,
            speculation=Speculation(
                cast(Method, settings.speculation), source.assistant, settings.speculation_tokens
            ),
        )
        model = backend.load(order)
    with _phase("warm_up", record):
        backend.warm_up()
    return backend, model


def _echo_order(settings: Settings) -> LoadOrder:
    task = Task.GENERATE if settings.task == "auto" else Task(settings.task)
    length, slots = settings.max_model_length, settings.max_batch_size
    return LoadOrder(Path(), task, max_length=length, slots=slots)


@contextlib.contextmanager
def _phase(name: str, record: Record) -> Iterator[None]:
    log.info("start-up: %s", name)
    begun = time.monotonic()
    yield
    record(name, time.monotonic() - begun)


@contextlib.contextmanager
def _known_failures(folder: Path) -> Iterator[None]:
    """What libraries raise for files that passed our checks and still make no model."""
    try:
        yield
    except LoadError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, LeptonError):
            raise
        raise WeightsCorrupt(f"no model can be made of {folder}: {error}") from error
