"""What to do about the children: wanted and seen → steps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lepton_operator.api.objects import Object, deep, identity
from lepton_operator.reconcile.covers import covers

Settled = Callable[[Object, Object], bool]
"""Whether the manifest was applied to the object before, and the server leaves parts of it out."""


@dataclass(frozen=True)
class Create:
    """The object is not in the index: create it, unless one of that name exists after all."""

    manifest: Object


@dataclass(frozen=True)
class Repair:
    """The object is ours and not as wanted: apply, whoever wrote the fields."""

    manifest: Object


@dataclass(frozen=True)
class Delete:
    """The object is ours and no longer wanted."""

    item: Object


Step = Create | Repair | Delete


def plan(wanted: Sequence[Object], seen: Iterable[Object], settled: Settled) -> list[Step]:
    """Steps, deletions first, then in the order of `wanted`.

    `seen` are objects controlled by the model. Those that are being deleted are left alone: the
    name is free only once they are gone, and their going is an event.
    """
    found = {identity(item): item for item in seen}
    keep = {identity(manifest) for manifest in wanted}
    steps: list[Step] = [
        Delete(item) for name, item in found.items() if name not in keep and not _leaving(item)
    ]
    for manifest in wanted:
        item = found.get(identity(manifest))
        if item is None:
            steps.append(Create(manifest))
        elif not _leaving(item) and not as_wanted(item, manifest) and not settled(item, manifest):
            steps.append(Repair(manifest))
    return steps


def as_wanted(item: Object, manifest: Object) -> bool:
    """Whether the object still has all that the manifest asks for, the manifest's digest included.

    The digest is another one when the last manifest had a field that this one has not.
    """
    return covers(item, manifest)


def _leaving(item: Object) -> bool:
    return bool(deep(item, "metadata", "deletionTimestamp"))
