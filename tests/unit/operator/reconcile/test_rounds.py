"""What is gone without a word is found."""

from dataclasses import dataclass, field

from lepton_operator.api.objects import (
    AUTOSCALERS,
    DEPLOYMENTS,
    MODELS,
    Key,
    Object,
    Resource,
)
from lepton_operator.reconcile.rounds import Rounds

A, B = Key("n", "a"), Key("n", "b")


@dataclass
class World:
    """What is held and what there is; `meanwhile` comes into being while it is listed."""

    holding: dict[Resource, dict[str, set[Key]]]
    there: dict[Resource, set[str]]
    meanwhile: tuple[Resource, str, Key] | None = None
    dropped: set[str] = field(default_factory=set)
    listed: list[tuple[str, str, str]] = field(default_factory=list)

    def held(self, resource: Resource) -> dict[str, set[Key]]:
        return dict(self.holding.get(resource, {}))

    def drop(self, uids: set[str]) -> None:
        self.dropped |= uids

    async def heads(self, resource: Resource, namespace: str, selector: str = "") -> list[Object]:
        self.listed.append((resource.plural, namespace, selector))
        found = [{"uid": uid} for uid in self.there.get(resource, set())]
        if self.meanwhile and self.meanwhile[0] == resource:
            self.holding.setdefault(resource, {})[self.meanwhile[1]] = {self.meanwhile[2]}
        return found


async def test_what_is_held_and_not_there_is_dropped_and_its_models_get_a_pass() -> None:
    world = World(
        {DEPLOYMENTS: {"d1": {A}, "d2": {B}}, MODELS: {"m1": {A}}},
        {DEPLOYMENTS: {"d2", "unknown"}, MODELS: {"m1"}},
    )
    added: list[Key] = []
    await Rounds(world, world, added.append, []).once()
    assert (world.dropped, added) == ({"d1"}, [A])


async def test_what_comes_while_it_looks_is_not_missing() -> None:
    world = World({}, {}, meanwhile=(DEPLOYMENTS, "new", A))
    await Rounds(world, world, lambda key: None, []).once()
    assert world.dropped == set()


async def test_it_looks_where_the_watches_look() -> None:
    world = World({}, {})
    await Rounds(world, world, lambda key: None, ["one", "two"]).once()
    models = [entry for entry in world.listed if entry[0] == MODELS.plural]
    assert models == [(MODELS.plural, "one", ""), (MODELS.plural, "two", "")]
    selectors = {entry[0]: entry[2] for entry in world.listed}
    assert selectors[AUTOSCALERS.plural] == ""
    assert selectors[DEPLOYMENTS.plural] == "lepton.ai/model"
