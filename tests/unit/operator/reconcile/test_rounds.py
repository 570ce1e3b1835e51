"""What is gone without a word is found; and nothing begins before all is seen."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from lepton_operator.api.objects import AUTOSCALERS, DEPLOYMENTS, MODELS, Key, Object, Resource
from lepton_operator.cluster import Unavailable
from lepton_operator.reconcile.rounds import Rounds
from lepton_operator.reconcile.watched import METRICS_API, WATCHED

A, B = Key("n", "a"), Key("n", "b")
EVERYTHING = (*WATCHED, METRICS_API)


@dataclass
class World:
    """What is held and what there is, by kind; lists tell the world's next step."""

    holding: dict[Resource, dict[str, set[Key]]] = field(default_factory=dict)
    there: dict[Resource, set[str]] = field(default_factory=dict)
    listed: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    meanwhile: dict[Resource, str] = field(default_factory=dict)
    """What comes into being while its kind is listed."""

    errors: list[Exception] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def held(self, resource: Resource) -> dict[str, set[Key]]:
        return dict(self.holding.get(resource, {}))

    def remove(self, uid: str) -> set[Key]:
        return set().union(*(items.pop(uid, set()) for items in self.holding.values()))

    async def heads(
        self, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> list[Object]:
        self.looked.set()
        if self.errors:
            raise self.errors.pop(0)
        self.listed.append((resource.plural, namespace, query))
        found = [{"uid": uid} for uid in self.there.get(resource, set())]
        if uid := self.meanwhile.get(resource):
            self.holding.setdefault(resource, {})[uid] = {A}
        return found


async def test_what_is_held_and_not_there_goes_and_its_models_get_a_pass() -> None:
    world = World(
        {DEPLOYMENTS: {"d1": {A}, "d2": {B}}, MODELS: {"m1": {A}}},
        {DEPLOYMENTS: {"d2", "unknown"}, MODELS: {"m1"}},
    )
    added: list[Key] = []
    await Rounds(world, world, EVERYTHING).once(added.append)
    assert added == [A]
    assert world.holding == {DEPLOYMENTS: {"d2": {B}}, MODELS: {"m1": {A}}}


async def test_what_comes_while_it_looks_is_not_missing() -> None:
    world = World(meanwhile={DEPLOYMENTS: "new"})
    added: list[Key] = []
    await Rounds(world, world, EVERYTHING).once(added.append)
    assert added == []
    assert world.holding == {DEPLOYMENTS: {"new": {A}}}


async def test_it_looks_where_the_watches_look() -> None:
    world = World()
    await Rounds(world, world, EVERYTHING, ["one", "two"]).once(lambda key: None)
    assert (MODELS.plural, "one", {}) in world.listed
    assert (MODELS.plural, "two", {}) in world.listed
    assert (AUTOSCALERS.plural, "two", {}) in world.listed
    assert (DEPLOYMENTS.plural, "one", {"labelSelector": "lepton.ai/model"}) in world.listed
    field_selector = {"fieldSelector": "metadata.name=v1beta1.external.metrics.k8s.io"}
    assert [entry for entry in world.listed if entry[0] == METRICS_API.resource.plural] == [
        (METRICS_API.resource.plural, "", field_selector)
    ]


async def test_nothing_begins_before_all_is_seen() -> None:
    world = World(there={DEPLOYMENTS: {"d1"}})
    waiting = asyncio.create_task(Rounds(world, world, EVERYTHING).until_complete())
    await world.looked.wait()
    assert not waiting.done()
    world.holding[DEPLOYMENTS] = {"d1": {A}, "d2": {B}}
    await asyncio.wait_for(waiting, 5)


async def test_what_is_deleted_before_a_watch_begins_is_not_waited_for() -> None:
    world = World(there={DEPLOYMENTS: {"d1"}})
    waiting = asyncio.create_task(Rounds(world, world, EVERYTHING).until_complete())
    await world.looked.wait()
    world.there.clear()
    await asyncio.wait_for(waiting, 5)


async def test_an_api_server_that_is_away_is_waited_for() -> None:
    world = World(errors=[Unavailable("no answer")])
    await Rounds(world, world, EVERYTHING, patience=0).until_complete()
    assert len(world.listed) == len(EVERYTHING)
