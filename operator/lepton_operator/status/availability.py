"""Available: does any worker serve, and if not, what keeps pods from running."""

import re
from collections.abc import Callable

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.status import loading
from lepton_operator.status.observe import Observed
from lepton_operator.status.say import cut, fine, waiting, wrong
from lepton_operator.status.workers import Worker

_KIND = Type.AVAILABLE
_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_PULL_TOO = ("ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*":? *(?:\w+: )?')

Check = Callable[[Observed, Worker], Condition | None]


def available(seen: Observed) -> Condition:
    """The condition; with a worker that serves, trouble of others goes into the message."""
    count, total = len(seen.ready), len(seen.workers)
    if not count:
        return stopped(seen) or trouble(seen) or waiting(_KIND, Reason.NOT_STARTED, _why(seen))
    text = f"{count} of {total} workers serve"
    other = loading.trouble(seen) or trouble(seen)
    if other:
        text = f"{text}; {other.reason}: {other.message}"
    return fine(_KIND, Reason.WORKERS_READY, text)


def trouble(seen: Observed) -> Condition | None:
    """The first complaint about a worker of the current spec that does not run."""
    for worker in seen.current:
        for check in CHAIN:
            if found := check(seen, worker):
                return found
    return pods_refused(seen)


def stopped(seen: Observed) -> Condition | None:
    """Somebody set replicas to 0, at which the autoscaler stands back."""
    if seen.rollout is None or seen.rollout.desired > 0:
        return None
    text = f"Deployment {seen.name} was scaled to 0"
    return wrong(_KIND, Reason.STOPPED, text, seen.name)


def unschedulable(seen: Observed, worker: Worker) -> Condition | None:
    """No node fits; a missing claim of the source is ModelReady's business."""
    if worker.unschedulable is None or loading.claim_missing(seen, worker):
        return None
    text = f"worker {worker.name} cannot be scheduled: {worker.unschedulable}"
    return wrong(_KIND, Reason.UNSCHEDULABLE, text)


def image_pull(seen: Observed, worker: Worker) -> Condition | None:
    """The kubelet has no image."""
    if not worker.waiting or worker.waiting.reason not in (*_PULL, *_PULL_TOO):
        return None
    words = _BACK_OFF.sub("", worker.waiting.message) or worker.waiting.reason
    text = f"image {worker.waiting.image} of worker {worker.name} cannot be pulled: {words}"
    return wrong(_KIND, Reason.IMAGE_PULL, text)


def container_config(seen: Observed, worker: Worker) -> Condition | None:
    """The kubelet cannot create the container."""
    if not worker.waiting or worker.waiting.reason not in _CONFIG:
        return None
    words = worker.waiting.message or worker.waiting.reason
    text = f"the container of worker {worker.name} cannot be created: {words}"
    return wrong(_KIND, Reason.CONTAINER_CONFIG, text)


def refused_by_node(seen: Observed, worker: Worker) -> Condition | None:
    """The node refused the pod, or evicted it."""
    if worker.rejected is None:
        return None
    text = f"worker {worker.name} was refused by its node: {worker.rejected}"
    return wrong(_KIND, Reason.POD_REJECTED, text)


def pods_refused(seen: Observed) -> Condition | None:
    """Pods cannot even be created; as long as some of the current spec run, that can wait."""
    if seen.rollout is None or seen.rollout.rejected is None or seen.current:
        return None
    return wrong(_KIND, Reason.POD_REJECTED, f"pods are refused: {seen.rollout.rejected}")


CHAIN: tuple[Check, ...] = (unschedulable, image_pull, container_config, refused_by_node)


def _why(seen: Observed) -> str:
    if seen.rollout is None:
        return "no worker serves: the Deployment does not exist yet"
    found = loading.trouble(seen)
    return cut(f"no worker serves: {found.message}") if found else "no worker serves yet"
