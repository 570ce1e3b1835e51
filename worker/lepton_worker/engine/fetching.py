"""The model's files, got by the front while the parent of engines imports."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from lepton_worker.engine.messages import Source
from lepton_worker.settings import Settings
from lepton_worker.source import find_source, weights_to_load
from lepton_worker.source.warm import warm

log = logging.getLogger(__name__)


async def fetched(settings: Settings, record: Callable[[str, float], None]) -> Source:
    """Fetch and check the source, and warm the page cache; raises LoadError.

    In a thread of its own, which the end of the process does not wait for: a download may take
    minutes. Records the phase `fetch`, which overlaps with `import`.
    """
    log.info("start-up: fetch")
    begun = time.monotonic()
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Source] = loop.create_future()

    def settle(outcome: Source | Exception) -> None:
        if found.done():
            return
        if isinstance(outcome, Exception):
            found.set_exception(outcome)
        else:
            found.set_result(outcome)

    def work() -> None:
        outcome: Source | Exception
        try:
            outcome = _found(settings)
        except Exception as error:
            outcome = error
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            log.debug("the worker ended before its source was there")

    threading.Thread(target=work, name="fetch", daemon=True).start()
    source = await found
    record("fetch", time.monotonic() - begun)
    return source


def _found(settings: Settings) -> Source:
    """The folders of the model and of its assistant, with their weights on the way into memory."""
    cache, backend, quantization = settings.cache_dir, settings.backend, settings.quantization
    folder = find_source(settings.source, cache, backend, quantization)
    warm(folder, weights_to_load(folder, backend, quantization))
    if not settings.speculation_model:
        return Source(folder)
    assistant = find_source(settings.speculation_model, cache, "native")
    warm(assistant)
    return Source(folder, assistant)
