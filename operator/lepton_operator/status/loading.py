"""ModelReady: has a worker of the current spec loaded the model, and if not, why."""

import json
import re
from collections.abc import Callable

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.api.names import CONTAINER
from lepton_operator.api.objects import deep
from lepton_operator.api.reasons import REASONS
from lepton_operator.status.observe import Observed
from lepton_operator.status.say import cut, fine, waiting, wrong
from lepton_operator.status.workers import Ended, Worker

_NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found', re.IGNORECASE)
_KILLED = 137
_KIND = Type.MODEL_READY

Check = Callable[[Observed, Worker], Condition | None]


def model_ready(seen: Observed) -> Condition:
    """The condition; a worker that has loaded the model outweighs others that have not."""
    loaded = sum(worker.ready for worker in seen.current)
    if loaded:
        return fine(_KIND, Reason.LOADED, "workers of the current spec have loaded the model")
    return trouble(seen) or waiting(_KIND, Reason.LOADING, _progress(seen))


def trouble(seen: Observed) -> Condition | None:
    """The first complaint about a worker of the current spec that does not serve."""
    for worker in seen.current:
        for check in CHAIN:
            if found := check(seen, worker):
                return found
    return None


def claim_missing(seen: Observed, worker: Worker) -> Condition | None:
    """The claim of the source is not there; the scheduler is the first to notice."""
    match = _NO_CLAIM.search(worker.unschedulable or "")
    if not match or match.group(1) != seen.claim:
        return None
    text = f'spec.source: there is no PersistentVolumeClaim "{match.group(1)}" in this namespace'
    return wrong(_KIND, Reason.SOURCE_NOT_FOUND, text)


def last_words(seen: Observed, worker: Worker) -> Condition | None:
    """The worker itself said what is wrong and what to do."""
    ended = worker.ended
    if ended is None or ended.container != CONTAINER:
        return None
    words = _words(ended.message)
    return Condition(_KIND, False, words[0], cut(words[1])) if words else None


def out_of_memory(seen: Observed, worker: Worker) -> Condition | None:
    """The kernel killed it."""
    ended = worker.ended
    if ended is None or not (ended.reason == "OOMKilled" or ended.exit_code == _KILLED):
        return None
    limit = deep(seen.model, "spec", "resources", "limits", "memory")
    bound = f"its limit is {limit}" if limit else "its node has no more"
    surely = "" if ended.reason == "OOMKilled" else ", most likely"
    text = f"{_who(worker, ended)} was killed{surely} for its memory ({ended.reason}): {bound}"
    return wrong(_KIND, Reason.OUT_OF_MEMORY, text)


def crash_loop(seen: Observed, worker: Worker) -> Condition | None:
    """It ended for a reason of its own."""
    ended = worker.ended
    if ended is None:
        return None
    lines = [line for line in ended.message.splitlines() if line.strip()]
    last = lines[-1] if lines else f"it left no word ({ended.reason})"
    text = f"{_who(worker, ended)} ended with exit code {ended.exit_code}: {last}"
    return wrong(_KIND, Reason.CRASH_LOOP, text)


CHAIN: tuple[Check, ...] = (claim_missing, last_words, out_of_memory, crash_loop)


def _words(message: str) -> tuple[Reason, str] | None:
    """Reason and message of a worker's last words; None when they are no such."""
    try:
        words = json.loads(message)
        reason = Reason(words["reason"])
        text = words["message"]
    except (ValueError, KeyError, TypeError):
        return None
    known = reason in REASONS and _KIND in REASONS[reason].types
    return (reason, text) if known and isinstance(text, str) and text else None


def _who(worker: Worker, ended: Ended) -> str:
    other = "" if ended.container == CONTAINER else f" (container {ended.container})"
    return f"worker {worker.name}{other}"


def _progress(seen: Observed) -> str:
    if not seen.current:
        return "no worker of the current spec exists yet"
    return "workers of the current spec start or load the model"
