"""One level-triggered pass over one model, right from any starting point.

Gather what the indices know, decide what is wanted, carry out the difference, say what was found.
No pass knows what happened before it, beyond memories that only save calls.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.api.names import ANNOTATION_TEMPLATE, Children
from lepton_operator.api.objects import (
    AUTOSCALERS,
    DEPLOYMENTS,
    MODELS,
    Identity,
    Key,
    Object,
    controlled_by,
    deep,
    identity,
)
from lepton_operator.api.types import LeptonModel
from lepton_operator.cluster import Cluster, Leaving, NotFound
from lepton_operator.desired import Refused, children, source
from lepton_operator.reconcile.carry_out import Doer, Done, OnItsWay, Owner, Settled
from lepton_operator.reconcile.plan import Create, Step, plan
from lepton_operator.reconcile.queue import Outcome
from lepton_operator.reconcile.reports import Reports
from lepton_operator.settings import Settings
from lepton_operator.status import Info, status_of
from lepton_operator.status.observe import MetricsApi, Observed, autoscaler, rollout
from lepton_operator.status.say import cut
from lepton_operator.status.scaling import look_again
from lepton_operator.status.workers import Worker, workers
from lepton_operator.workers import Interviews

REPORT_AFTER = 1.0

logger = logging.getLogger(__name__)


class Sight(Protocol):
    """What the watches know."""

    def model(self, key: Key) -> Object | None:
        """The LeptonModel."""

    def children(self, key: Key) -> Sequence[Object]:
        """Objects with the model's label, of all kinds but pods."""

    def pods(self, key: Key) -> Sequence[Object]:
        """Pods with the model's label."""

    def autoscalers(self, key: Key) -> Sequence[Object]:
        """Autoscalers of anybody whose target is the Deployment of that name."""

    def metrics_api(self) -> MetricsApi:
        """State of the external metrics API."""


@dataclass(frozen=True)
class _Found:
    """What came of the acting half of a pass."""

    template: str | None = None
    done: Done = field(default_factory=Done)
    refused: Condition | None = None
    obstacle: bool = False


@dataclass(frozen=True)
class Reconciler:
    """Called by the queue for each model that is due."""

    cluster: Cluster
    sight: Sight
    settings: Settings
    interviews: Interviews
    reports: Reports
    settled: Settled
    clock: Callable[[], datetime]
    """The time in UTC."""

    async def __call__(self, key: Key) -> Outcome:
        """One pass; raises ClusterError when the API server does not play along."""
        model = self.sight.model(key)
        if model is None:
            self._forget(key)
            return Outcome(gone=True)
        if deep(model, "metadata", "deletionTimestamp"):
            return Outcome()  # Kubernetes removes the children with their owner.
        model = self.reports.latest(key, model)
        try:
            found = await self._act(key, model)
        except Leaving as error:
            logger.debug("%s: %s", key, error)
            return Outcome()
        if found is None:
            return Outcome()
        if found.done.created:
            # Its events are on their way, and the pass that they bring has something to tell.
            return Outcome(again=REPORT_AFTER)
        seen = self._observe(key, model, found)
        info = self._ask(key, model, seen, found.template)
        await self.reports.report(key, model, status_of(seen, info), seen.now)
        again = look_again(seen)
        return Outcome(again.total_seconds() if again else None, found.obstacle)

    async def _act(self, key: Key, model: Object) -> _Found | None:
        """Bring the children to what the spec asks for; None when the model is no more."""
        template = None
        try:
            typed = _typed(model)
            foreign = bool(self._foreign(key, typed.metadata.uid))
            wanted = children(typed, self.settings, scaled_by_other=foreign)
            template = _template(wanted)
            steps = plan(wanted, self._ours(key, typed.metadata.uid), self.settled)
            if model.get("status") and _creates(steps) and not await self._exists(model):
                return None
            doer = Doer(self.cluster, self.settled)
            owner = Owner(typed.metadata.uid, typed.spec.scaling.min_replicas)
            done = await doer.carry_out(owner, steps)
        except Refused as refused:
            condition = Condition(Type.ACCEPTED, False, refused.reason, cut(refused.message))
            temporary = refused.reason != Reason.SOURCE_NOT_ALLOWED
            return _Found(template, refused=condition, obstacle=temporary)
        except OnItsWay as error:
            logger.info("%s: waiting: %s", key, error)
            return _Found(template, obstacle=True)
        return _Found(template, done)

    def _observe(self, key: Key, model: Object, found: _Found) -> Observed:
        """All that conditions depend on; answers of the server are newer than the indices."""
        uid = model["metadata"]["uid"]
        seen = {identity(item): item for item in self._ours(key, uid)} | found.done.answers
        names = Children(key.name)
        return Observed(
            model=model,
            now=self.clock(),
            refused=found.refused,
            rollout=rollout(seen.get(Identity(DEPLOYMENTS.kind, names.deployment))),
            workers=workers(self.sight.pods(key), found.template),
            autoscaler=autoscaler(seen.get(Identity(AUTOSCALERS.kind, names.autoscaler))),
            foreign=self._foreign(key, uid),
            metrics_api=self.sight.metrics_api(),
            claim=source.parse(model["spec"]["source"]).claim,
        )

    def _ours(self, key: Key, uid: str) -> list[Object]:
        return [item for item in self.sight.children(key) if controlled_by(item, uid)]

    def _foreign(self, key: Key, uid: str) -> str | None:
        found = self.sight.autoscalers(key)
        names = [item["metadata"]["name"] for item in found if not controlled_by(item, uid)]
        return min(names, default=None)

    async def _exists(self, model: Object) -> bool:
        """Whether there is this model, whose children are missing though it had them.

        When the index is wrong there, whatever we make would be collected, and made again.
        """
        metadata = model["metadata"]
        try:
            found = await self.cluster.get(MODELS, Key(metadata["namespace"], metadata["name"]))
        except NotFound:
            return False
        same = deep(found, "metadata", "uid") == metadata["uid"]
        return same and not deep(found, "metadata", "deletionTimestamp")

    def _ask(self, key: Key, model: Object, seen: Observed, template: str | None) -> Info | None:
        """What workers of the current spec said; they are asked unless the status has it."""
        if template is None:
            return None
        if known := self.interviews.known(key, template):
            return known
        status = model.get("status") or {}
        fresh = status.get("observedGeneration") == model["metadata"].get("generation")
        worker = _first_ready(seen.current)
        if worker is None or worker.address is None or (fresh and status.get("engine")):
            return None
        return self.interviews.answer(key, template, worker.address)

    def _forget(self, key: Key) -> None:
        self.reports.forget(key)
        self.interviews.forget(key)
        self.settled.forget(key)


def _typed(model: Object) -> LeptonModel:
    """The model in its types; the CRD has checked it, unless it is older than the CRD."""
    try:
        return LeptonModel.model_validate({**model, "status": {}})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Refused(Reason.INVALID_SPEC, f"{field}: {first['msg']}") from error


def _template(wanted: Sequence[Object]) -> str | None:
    """Digest of the wanted pod template."""
    for manifest in wanted:
        if manifest["kind"] == DEPLOYMENTS.kind:
            path = ("spec", "template", "metadata", "annotations", ANNOTATION_TEMPLATE)
            return str(deep(manifest, *path))
    return None


def _creates(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, Create) for step in steps)


def _first_ready(found: Sequence[Worker]) -> Worker | None:
    return next((worker for worker in found if worker.ready), None)
