"""One run of the serving process: settings, log, event loop, last words, exit status."""

import asyncio
import logging
import socket
from collections.abc import Mapping

from lepton_worker.errors import LoadError
from lepton_worker.last_words import last_words
from lepton_worker.logs import set_up_logs
from lepton_worker.settings import (
    Settings,
    direct_libraries,
    process_environment,
    read_settings,
    termination_log,
)

log = logging.getLogger(__name__)

FAILED = 1


def run(flags: Mapping[str, str], started_at: float) -> int:
    """Serve until told to stop; returns the exit status, 0 after an orderly end."""
    set_up_logs("INFO", "text")
    environment = process_environment()
    try:
        settings = read_settings(flags, environment)
        set_up_logs(settings.log_level, settings.log_format)
        direct_libraries(settings)
        _serve(settings, started_at)
    except LoadError as error:
        log.error("%s: %s", error.reason, error.message)
        last_words(termination_log(flags, environment), error)
        return FAILED
    except Exception:
        log.exception("the worker ends because of a bug or a lost device")
        return FAILED
    return 0


def _serve(settings: Settings, started_at: float) -> None:
    # Behind `direct_libraries`: what is imported here reads the environment.
    zygote = _forked_zygote(settings)
    # Behind the fork: gRPC starts threads, and a fork copies none of them.
    from lepton_worker.engine.process_link import ProcessLink
    from lepton_worker.serving.app import serve

    async def main() -> None:
        await serve(settings, started_at, ProcessLink(*zygote) if zygote else None)

    asyncio.run(main())


def _forked_zygote(settings: Settings) -> "tuple[int, socket.socket] | None":
    """The parent of engines, unless the engine is to be a thread."""
    if settings.engine == "thread" or (settings.engine == "auto" and settings.backend == "echo"):
        return None
    from lepton_worker.engine.side import main_of, needed_modules
    from lepton_worker.engine.zygote import fork_zygote

    return fork_zygote(main_of(settings), needed_modules(settings))
