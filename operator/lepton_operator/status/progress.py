"""Progressing: do the workers run the current spec, and does a rollout get on."""

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.status import availability, loading
from lepton_operator.status.observe import Observed
from lepton_operator.status.say import fine, waiting, wrong

_KIND = Type.PROGRESSING


def progressing(seen: Observed) -> Condition:
    """The condition, from what the Deployment's controller says."""
    return refused(seen) or stuck(seen) or under_way(seen) or _done()


def refused(seen: Observed) -> Condition | None:
    """Nothing of the current spec is carried out, so that there is nothing to tell."""
    if seen.refused is None:
        return None
    text = "the current spec is not carried out: see Accepted"
    return waiting(_KIND, Reason.ROLLING_OUT, text, status=None)


def stuck(seen: Observed) -> Condition | None:
    """The deadline has passed."""
    found = seen.rollout and seen.rollout.progressing
    if not found or found.reason != "ProgressDeadlineExceeded":
        return None
    text = "workers of the current spec did not become ready in time"
    if seen.ready:
        text += "; workers of the last spec go on"
    return wrong(_KIND, Reason.ROLLOUT_STUCK, text + _culprit(seen))


def under_way(seen: Observed) -> Condition | None:
    """The controller has not finished; more workers of the same spec are no rollout."""
    rollout = seen.rollout
    if rollout is None or not rollout.caught_up or rollout.progressing is None:
        return fine(_KIND, Reason.ROLLING_OUT, "the Deployment takes up the current spec")
    if rollout.progressing.reason == "NewReplicaSetAvailable":
        return None
    text = f"{rollout.updated} of {rollout.desired} workers run the current spec"
    return fine(_KIND, Reason.ROLLING_OUT, text + _culprit(seen))


def _done() -> Condition:
    return fine(_KIND, Reason.ROLLED_OUT, "all workers run the current spec")


def _culprit(seen: Observed) -> str:
    found = loading.trouble(seen) or availability.trouble(seen)
    return f"; {found.reason}: {found.message}" if found else ""
