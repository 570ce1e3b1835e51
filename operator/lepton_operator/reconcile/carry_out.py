"""Carries out the steps of a plan, and says who stands in the way."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

from lepton_operator.api.conditions import Reason
from lepton_operator.api.names import ANNOTATION_APPLIED, LABEL_MODEL
from lepton_operator.api.objects import (
    DEPLOYMENTS,
    MODELS,
    RESOURCES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Identity,
    Key,
    Object,
    controlled_by,
    controller,
    deep,
    identity,
)
from lepton_operator.cluster import Cluster, ClusterError, Conflict, NotFound, Rejected
from lepton_operator.desired import Refused
from lepton_operator.reconcile.plan import Create, Delete, Step, as_wanted

logger = logging.getLogger(__name__)

_FIRST = (SERVICE_ACCOUNTS.kind, SERVICES.kind)


class OnItsWay(Exception):
    """An object that still has the name is about to go; its going will be an event."""


@dataclass
class Settled:
    """What the server keeps leaving out of objects, so that it is not applied again and again."""

    _known: dict[Key, set[tuple[str, str]]] = field(default_factory=dict)

    def __call__(self, item: Object, manifest: Object) -> bool:
        """Whether applying this manifest to this object was of no use before."""
        return _mark(item, manifest) in self._known.get(_model(manifest), ())

    def add(self, item: Object, manifest: Object) -> None:
        """Remember it."""
        self._known.setdefault(_model(manifest), set()).add(_mark(item, manifest))

    def forget(self, key: Key) -> None:
        """The model is gone."""
        self._known.pop(key, None)


def _key(manifest: Object) -> Key:
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _model(manifest: Object) -> Key:
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["labels"][LABEL_MODEL])


def _mark(item: Object, manifest: Object) -> tuple[str, str]:
    return item["metadata"]["uid"], manifest["metadata"]["annotations"][ANNOTATION_APPLIED]


@dataclass(frozen=True)
class Owner:
    """The model for which something is done."""

    uid: str
    replicas: int
    """How many workers a new Deployment starts with."""


@dataclass
class Done:
    """What came of it."""

    answers: dict[Identity, Object] = field(default_factory=dict)
    """The objects that were applied, as the server answered."""

    created: bool = False
    """Whether something exists now that did not."""


@dataclass(frozen=True)
class Doer:
    """Does it, for one model at a time."""

    cluster: Cluster
    settled: Settled

    async def carry_out(self, owner: Owner, steps: Sequence[Step]) -> Done:
        """Do all of it.

        Names are taken before anything runs under them: first ServiceAccount and Services, then
        the Deployment, then what acts on it.
        Raises Refused when an object stands in the way or is not accepted, OnItsWay, ClusterError.
        """
        done = Done()
        for group in _groups(steps):
            await _together([self._step(owner, step, done) for step in group])
        return done

    async def _step(self, owner: Owner, step: Step, done: Done) -> None:
        if isinstance(step, Delete):
            logger.info("%s: delete %s", _key(step.item), step.item["kind"])
            await self.cluster.delete(step.item)
            return
        try:
            if isinstance(step, Create):
                item = await self._create(owner, step.manifest, done)
            else:
                item = await self._repair(step.manifest)
        except Rejected as error:
            raise Refused(Reason.INVALID_SPEC, _refusal(step.manifest, error)) from error
        done.answers[identity(item)] = item

    async def _create(self, owner: Owner, manifest: Object, done: Done) -> Object:
        try:
            item = await self.cluster.create(manifest)
        except Conflict:
            return await self._take_over(owner.uid, manifest)
        logger.info("%s: created %s", _key(manifest), manifest["kind"])
        done.created = True
        self._check(item, manifest)
        if manifest["kind"] == DEPLOYMENTS.kind and owner.replicas > 1:
            await self._start(_key(manifest), owner.replicas)
        return item

    async def _take_over(self, uid: str, manifest: Object) -> Object:
        """The name is taken. By us, when a label was removed or the index lags."""
        try:
            item = await self.cluster.get(RESOURCES[manifest["kind"]], _key(manifest))
        except NotFound as error:
            raise OnItsWay(f"{_name(manifest)} has just gone") from error
        if not controlled_by(item, uid):
            _stand_back(item, manifest)
        if as_wanted(item, manifest) or self.settled(item, manifest):
            return item
        return await self._repair(manifest)

    async def _repair(self, manifest: Object) -> Object:
        logger.info("%s: apply %s", _key(manifest), manifest["kind"])
        item = await self.cluster.apply(manifest)
        self._check(item, manifest)
        return item

    def _check(self, item: Object, manifest: Object) -> None:
        if not as_wanted(item, manifest):
            logger.warning("%s keeps leaving out parts of what was applied", _name(manifest))
            self.settled.add(item, manifest)

    async def _start(self, key: Key, replicas: int) -> None:
        """Saves the wait for the autoscaler, which would come to the same number."""
        try:
            await self.cluster.scale(key, replicas)
        except ClusterError as error:
            logger.warning("%s: not started with %d workers: %s", key, replicas, error)


async def _together(calls: Sequence[Awaitable[None]]) -> None:
    """Every call has ended when an error is raised, refusals first."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [result for result in results if result is not None]
    for error in sorted(errors, key=lambda error: not isinstance(error, Refused)):
        raise error


def _groups(steps: Sequence[Step]) -> list[list[Step]]:
    groups: list[list[Step]] = [[], [], [], []]
    for step in steps:
        groups[_rank(step)].append(step)
    return groups


def _rank(step: Step) -> int:
    if isinstance(step, Delete):
        return 0
    kind = step.manifest["kind"]
    return 1 if kind in _FIRST else 2 if kind == DEPLOYMENTS.kind else 3


def _stand_back(item: Object, manifest: Object) -> None:
    """Raises what is to be done about somebody else's object of that name."""
    owner = controller(item)
    if deep(item, "metadata", "deletionTimestamp") or _of_a_predecessor(owner, manifest):
        raise OnItsWay(f"{_name(manifest)} is being deleted")
    whose = f"{owner['kind']} {owner['name']}" if owner else "nobody in particular"
    raise Refused(
        Reason.NAME_CONFLICT,
        f"{_name(manifest)} exists already and belongs to {whose}; it is left as it is. Delete or "
        "rename it, or create this model under another name.",
    )


def _of_a_predecessor(owner: Mapping[str, object] | None, manifest: Object) -> bool:
    """Whether it belongs to a deleted model of our name, whose children are being collected."""
    ours = controller(manifest)
    return bool(
        owner and ours and owner.get("kind") == MODELS.kind and owner.get("name") == ours["name"]
    )


def _refusal(manifest: Object, error: Rejected) -> str:
    return f"the API server does not accept {_name(manifest)}: {error}"


def _name(manifest: Object) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
