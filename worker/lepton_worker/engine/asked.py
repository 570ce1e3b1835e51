"""What the front may ask an engine besides jobs: adapters, and a profile of its next steps."""

import logging
from collections.abc import Callable
from pathlib import Path

from lepton_worker.backends.base import Backend
from lepton_worker.backends.profiling import Profiler
from lepton_worker.engine.messages import Answer, Ask
from lepton_worker.errors import InternalError, InvalidRequest, LeptonError, Violation

log = logging.getLogger(__name__)


class Asked:
    """Answers between two steps; a profile is answered when its steps are over."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._profiler: Profiler | None = None
        self._profile = Ask(0, "")
        self._steps = 0
        self._methods: dict[str, Callable[..., object]] = {
            "load_adapter": lambda name, folder, source: backend.load_adapter(
                name, Path(folder), source
            ),
            "unload_adapter": backend.unload_adapter,
            "end_profile": self._end_profile,
        }

    def answer(self, ask: Ask) -> Answer | None:
        """What was asked for, unless it takes steps."""
        try:
            if ask.method == "profile":
                self._begin_profile(ask)
                return None
            return Answer(ask.number, self._methods[ask.method](*ask.arguments))
        except LeptonError as error:
            return Answer(ask.number, error=error)
        except Exception:
            log.exception("%s failed", ask.method)
            failure = InternalError(f"{ask.method} failed; the log of the worker says how")
            return Answer(ask.number, error=failure)

    def _begin_profile(self, ask: Ask) -> None:
        if self._profiler is not None:
            raise InvalidRequest([Violation("steps", "a profile is being recorded; wait for it")])
        self._profiler = Profiler(bool(ask.arguments[1]))
        self._profile, self._steps = ask, 0

    def stepped(self) -> Answer | None:
        """A step has ended; answers the profile when it was the last one."""
        if self._profiler is None:
            return None
        self._steps += 1
        if self._steps < int(str(self._profile.arguments[0])):
            return None
        return Answer(self._profile.number, self._end_profile())

    def _end_profile(self) -> object:
        """What was recorded so far; None when nothing is."""
        profiler, self._profiler = self._profiler, None
        return None if profiler is None else profiler.stop(self._steps)
