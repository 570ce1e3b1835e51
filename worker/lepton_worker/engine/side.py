"""The engine's side from its first breath: load, tell, compute."""

import contextlib
import logging
import os
from functools import partial
from pathlib import Path

from lepton_worker.engine.core import Core, Stopped
from lepton_worker.engine.link import Closed, Port
from lepton_worker.engine.load import load
from lepton_worker.engine.messages import NotLoaded, Phase, Ready, Source, Stop
from lepton_worker.errors import LoadError
from lepton_worker.settings import Settings

log = logging.getLogger(__name__)


def engine_main(settings: Settings, port: Port, imported: float = 0.0) -> None:
    """Load the model, say so, and compute until told to stop or until the front is gone.

    `imported` is how many seconds imports took that are done already.
    """

    def record(name: str, seconds: float) -> None:
        port.send([Phase(name, seconds)])

    try:
        source = Source(Path()) if settings.backend == "echo" else _told(port)
        backend, model = load(settings, source, record, imported)
    except Stopped:
        return
    except LoadError as error:
        port.send([NotLoaded(error)])
        return
    port.send([Ready(model, os.getpid())])
    with contextlib.suppress(Closed):
        Core(backend, model, port, neighbour_factor=settings.neighbour_factor).run()


def _told(port: Port) -> Source:
    """Wait to be told of the folders; raises Stopped. Nothing else is said before."""
    while True:
        for message in port.take(wait=True):
            if isinstance(message, Source):
                return message
            if isinstance(message, Stop):
                raise Stopped


def main_of(settings: Settings) -> "partial[None]":
    """`engine_main` with its settings, ready for a link."""
    return partial(engine_main, settings)


def needed_modules(settings: Settings) -> tuple[str, ...]:
    """What an engine with these settings will import first of all."""
    if settings.backend == "echo":
        return ()
    if settings.backend == "onnxruntime":
        return ("lepton_worker.backends.onnx.backend",)
    return ("lepton_worker.backends.ahead",)
