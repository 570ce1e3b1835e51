"""One run of the serving process: settings, log, event loop, last words, exit status."""

import asyncio
import logging
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
    from lepton_worker.serving.app import serve

    asyncio.run(serve(settings, started_at))
