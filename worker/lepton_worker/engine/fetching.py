"""The model's files, got by the front while the parent of engines imports."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lepton_worker.settings import Settings
from lepton_worker.source import find_source, weights_to_load
from lepton_worker.source.warm import warm

log = logging.getLogger(__name__)


async def fetched(settings: Settings, record: Callable[[str, float], None]) -> Path:
    """Fetch and check the source, and warm the page cache; raises LoadError.

    In a thread of its own, which the end of the process does not wait for: a download may take
    minutes. Records the phase `fetch`, which overlaps with `import`.
    """
    log.info("start-up: fetch")
    begun = time.monotonic()
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Path] = loop.create_future()

    def settle(outcome: Path | Exception) -> None:
        if found.done():
            return
        if isinstance(outcome, Exception):
            found.set_exception(outcome)
        else:
            found.set_result(outcome)

    def work() -> None:
        outcome: Path | Exception
        try:
            outcome = find_source(
                settings.source, settings.cache_dir, settings.backend, settings.quantization
            )
            warm(outcome, weights_to_load(outcome, settings.backend, settings.quantization))
        except Exception as error:
            outcome = error
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            log.debug("the worker ended before its source was there")

    threading.Thread(target=work, name="fetch", daemon=True).start()
    folder = await found
    record("fetch", time.monotonic() - begun)
    return folder
