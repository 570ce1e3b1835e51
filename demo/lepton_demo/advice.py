"""What did not happen and where to look; what to try when it did. Pure text; markup where shown."""

from collections.abc import Mapping, Sequence

from lepton_demo.reading import Health, Object, Stage, container_complaint, stage
from lepton_demo.scaling import Story


def not_quiet(story: Story) -> str:
    """The model never came to rest before the load."""
    last = story.samples[-1]
    if last.autoscaler is None:
        return "The model has no HorizontalPodAutoscaler."
    if last.queue is None:
        return "The metrics API does not know the model's queue depth, so it cannot be scaled."
    return (
        f"The model does not come to rest: {last.queue:.0f} requests in hand, {last.ready} workers "
        f"ready of {last.existing}, and the autoscaler wants {last.autoscaler.desired}. "
        "Does somebody else use it?"
    )


def not_risen(story: Story, pods: Sequence[Object]) -> str:
    """The load did not bring the workers that it should have."""
    marks, last = story.milestones(), story.samples[-1]
    seconds = last.at - story.load_start
    if marks.queue_seen is None:
        return f"In {seconds:.0f} s of load the metrics API never showed a request in the queue."
    if marks.decision is None:
        return f"In {seconds:.0f} s of load the autoscaler did not ask for another worker."
    wanted = last.autoscaler.most if last.autoscaler else 0
    what = f"The autoscaler asked for more workers, and {marks.peak} of {wanted} came to serve."
    return "\n  ".join([what, *complaints(pods)])


def complaints(pods: Sequence[Object]) -> list[str]:
    """The pods that do not serve, each with its reason where there is one."""
    lines = []
    for pod in pods:
        if stage(pod) in (Stage.PENDING, Stage.LOADING):
            line = f"{pod['metadata']['name']} is {stage(pod)}"
            complaint = container_complaint(pod)
            lines.append(f"{line}: {complaint}" if complaint else line)
    return lines


def not_settled(story: Story) -> str:
    """The workers stayed after the load."""
    last = story.samples[-1]
    since = last.at - (story.load_end or last.at)
    return (
        f"{since:.0f} s after the load {last.existing} workers still exist "
        f"({last.desired} wanted by the autoscaler); {story.workers_before} were there before."
    )


def scaling_commands(model: str, namespace: str) -> list[str]:
    """Where to look when a model does not scale."""
    return [
        f"kubectl -n {namespace} describe hpa {model}",
        f"kubectl -n {namespace} get pods -l lepton.ai/model={model}",
        f"kubectl -n {namespace} describe lm {model}",
        "kubectl get apiservice v1beta1.external.metrics.k8s.io",
    ]


def waiting_for(healths: Mapping[str, Health]) -> str:
    """The models that are not ready, each with its reason."""
    open_ones = [f"{name}: {health.reason}" for name, health in healths.items() if not health.ready]
    return ", ".join(open_ones)


def not_ready(healths: Mapping[str, Health], seconds: float) -> str:
    """Models that did not become ready, in the operator's own words."""
    lines = [
        f"  {name}: {health.reason}: {health.message}"
        for name, health in healths.items()
        if not health.ready
    ]
    return "\n".join([f"Not ready after {seconds:.0f} s:", *lines])


def model_commands(healths: Mapping[str, Health], namespace: str, system: str) -> list[str]:
    """Where to look when models do not become ready."""
    described = [
        f"kubectl -n {namespace} describe lm {name}"
        for name, health in healths.items()
        if not health.ready
    ]
    return [
        *described,
        f"kubectl -n {namespace} get pods",
        f"kubectl -n {system} logs deployment/lepton-operator",
    ]
