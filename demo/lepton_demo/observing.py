"""Samples of one model under load: queue, autoscaler and pods, as the API server shows them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from lepton_demo.kubectl import Kubectl, Watch
from lepton_demo.reading import Object, autoscaler, metric_total, stage
from lepton_demo.scaling import Sample

SECONDS = 1.0
METRIC = "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/lepton_queue_depth"


@dataclass
class Observer:
    """What is known of the model right now."""

    pods: Watch
    autoscalers: Watch
    model: str
    queue: float | None = None

    def seen_pods(self) -> list[Object]:
        """Its pods, whatever they do."""
        return self.pods.objects.all()

    def sample(self, now: float) -> Sample:
        """Everything at once."""
        return Sample(
            at=now,
            queue=self.queue,
            autoscaler=autoscaler(self.autoscalers.objects.get(self.model)),
            stages=Counter(stage(pod) for pod in self.seen_pods()),
        )


@asynccontextmanager
async def observed(kubectl: Kubectl, namespace: str, model: str) -> AsyncIterator[Observer]:
    """A model that is watched while the block lasts."""
    pods = kubectl.watch("pods", "-n", namespace, "-l", f"lepton.ai/model={model}")
    autoscalers = kubectl.watch("hpa", "-n", namespace, "-l", f"lepton.ai/model={model}")
    async with pods as seen_pods, autoscalers as seen_autoscalers:
        observer = Observer(seen_pods, seen_autoscalers, model)
        task = asyncio.create_task(_follow_queue(observer, kubectl, namespace))
        try:
            yield observer
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _follow_queue(observer: Observer, kubectl: Kubectl, namespace: str) -> None:
    path = METRIC.format(namespace=namespace)
    while True:
        answer = await kubectl.raw(path, labelSelector=f"model={observer.model}")
        observer.queue = metric_total(answer)
        await asyncio.sleep(SECONDS)
