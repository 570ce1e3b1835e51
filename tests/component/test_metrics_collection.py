"""Queue depths collected over real gRPC from workers that live, stall, drain and die."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.metrics.apiserver import ApiError
from lepton_operator.metrics.channel import dial
from lepton_operator.metrics.collector import Tools
from lepton_operator.metrics.freshness import LIFETIME, Depth, Unknown
from lepton_operator.metrics.roster import ModelKey
from lepton_operator.metrics.telemetry import DepthCollector, Telemetry
from lepton_operator.metrics.view import LIFETIME as VIEW_LIFETIME
from lepton_operator.metrics.view import View
from lepton_testing.memory_api import MemoryApi
from lepton_testing.stub_worker import StubWorker, stub_worker

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
CHAT = ModelKey("team-a", "chat")


@dataclass
class Clock:
    """The real clock, which a test may put forward; each look at it is noticed."""

    ahead: float = 0.0
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> float:
        self.looked.set()
        return time.monotonic() + self.ahead


@dataclass
class Scene:
    """A view on workers of the test."""

    view: View
    api: MemoryApi
    clock: Clock
    registry: CollectorRegistry

    def place(self, model: ModelKey, **workers: StubWorker | tuple[StubWorker, str]) -> None:
        """Say which workers a model has: ready ones, or as the word beside them says."""
        self.api.put(SLICES, a_slice(model, workers))

    async def until(self, reached: Callable[[], bool]) -> None:
        """Collect until something holds; gives up loudly."""
        async with asyncio.timeout(20):
            while not reached():
                self.clock.looked.clear()
                await self.clock.looked.wait()

    async def reads(self, model: ModelKey, value: int) -> None:
        """Collect until a model's queue depth is that."""
        await self.until(lambda: self.depth(model) == value)

    def depth(self, model: ModelKey) -> int | str:
        """Queue depth, or why it is unknown."""
        found = self.view.depth(model)
        return found.value if isinstance(found, Depth) else found.reason


def a_slice(
    model: ModelKey, workers: dict[str, StubWorker | tuple[StubWorker, str]]
) -> dict[str, Any]:
    """One slice for the model; ports differ, so the address carries a worker's port itself."""
    endpoints = []
    for pod, entry in workers.items():
        worker, state = entry if isinstance(entry, tuple) else (entry, "ready")
        endpoints.append(
            {
                "addresses": [f"127.0.0.1:{worker.port}"],
                "conditions": {"ready": state == "ready", "terminating": state == "terminating"},
                "targetRef": {"kind": "Pod", "name": pod, "uid": f"uid-{pod}"},
            }
        )
    return {
        "metadata": {
            "namespace": model.namespace,
            "name": f"{model.namespace}-{model.name}",
            "labels": {LABEL_MODEL: model.name},
        },
        "ports": [{"name": "grpc", "port": 9000}],
        "endpoints": endpoints,
    }


@asynccontextmanager
async def dial_embedded_port(address: str, deadline: float) -> AsyncIterator[Any]:
    """Workers of a test share a host, so their port comes before the slice's: [host:port]:9000."""
    async with dial(address.removeprefix("[").partition("]")[0], deadline) as worker:
        yield worker


@asynccontextmanager
async def a_scene(deadline: float = 0.3, **chat: StubWorker) -> AsyncIterator[Scene]:
    """A view at work, until the block ends; `chat` are the workers of that model from the start."""
    api = MemoryApi()
    api.put(SLICES, a_slice(ModelKey("elsewhere", "empty"), {}))
    api.put(SLICES, a_slice(CHAT, {**chat}))
    async with a_view(api, (), deadline) as scene:
        yield scene


@asynccontextmanager
async def a_view(
    api: MemoryApi, namespaces: Sequence[str], deadline: float = 0.3
) -> AsyncIterator[Scene]:
    """A view on what is in the API server, at work until the block ends."""
    clock, registry = Clock(), CollectorRegistry()
    tools = Tools(
        dial=partial(dial_embedded_port, deadline=deadline),
        clock=clock,
        telemetry=Telemetry(registry),
        period=0.02,
    )
    view = View(api, namespaces, tools)
    registry.register(DepthCollector(view.depths, view.sources))
    task = asyncio.create_task(view.run())
    try:
        yield Scene(view, api, clock, registry)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_depth_is_what_all_workers_have_in_hand() -> None:
    async with (
        a_scene() as scene,
        stub_worker(waiting=3, running=2) as one,
        stub_worker(waiting=0, running=4) as other,
        stub_worker(waiting=7) as another,
    ):
        scene.place(CHAT, one=one, other=other)
        scene.place(ModelKey("team-b", "chat"), another=another)
        await scene.reads(CHAT, 9)
        await scene.reads(ModelKey("team-b", "chat"), 7)
        one.waiting = 0
        await scene.reads(CHAT, 6)


async def test_the_first_collection_is_complete_when_every_worker_was_asked() -> None:
    async with stub_worker(waiting=1) as one, stub_worker() as other:
        other.stalled = True
        async with a_scene(one=one, other=other) as scene:
            assert "not listed yet" in str(scene.view.missing())
            await scene.until(lambda: one.questions > 1)
            assert scene.view.missing() == "not every worker was asked yet"
            await scene.until(lambda: scene.view.missing() is None)
            assert "no answer within 0.3 s" in str(scene.depth(CHAT))


async def test_a_worker_that_dies_makes_the_model_unknown_after_a_while_and_not_zero() -> None:
    async with a_scene() as scene, stub_worker(waiting=5) as one:
        async with stub_worker(waiting=6) as other:
            scene.place(CHAT, one=one, other=other)
            await scene.reads(CHAT, 11)
        await one.until_asked_again()
        assert scene.depth(CHAT) == 11
        scene.clock.ahead += LIFETIME
        await scene.until(lambda: str(scene.depth(CHAT)).startswith("worker other"))
        await scene.until(lambda: "refused" in str(scene.depth(CHAT)))


async def test_a_worker_that_comes_back_is_heard_again_with_what_it_has_now() -> None:
    async with a_scene() as scene, stub_worker(waiting=1) as one:
        async with stub_worker(waiting=6) as other:
            scene.place(CHAT, one=one, other=other)
            await scene.reads(CHAT, 7)
            port = other.port
        scene.clock.ahead += LIFETIME
        await scene.until(lambda: isinstance(scene.view.depth(CHAT), Unknown))
        async with stub_worker(port=port, waiting=2):
            await scene.reads(CHAT, 3)


async def test_a_stalled_worker_delays_nobody_else() -> None:
    async with a_scene(deadline=10) as scene, stub_worker() as stuck, stub_worker() as well:
        stuck.stalled = True
        scene.place(CHAT, stuck=stuck)
        await stuck.until_asked_again()
        scene.place(ModelKey("team-a", "embed"), well=well)
        for waiting in range(5):
            well.waiting = waiting
            await scene.reads(ModelKey("team-a", "embed"), waiting)
        assert stuck.questions == 1


async def test_a_terminating_worker_is_counted_while_it_answers() -> None:
    async with a_scene() as scene, stub_worker(running=1) as one:
        async with stub_worker(running=4) as leaving:
            scene.place(CHAT, one=one, leaving=leaving)
            await scene.reads(CHAT, 5)
            scene.place(CHAT, one=one, leaving=(leaving, "terminating"))
            leaving.running = 3
            await scene.reads(CHAT, 4)
        await scene.reads(CHAT, 1)


async def test_a_model_whose_last_worker_leaves_is_unknown() -> None:
    async with a_scene() as scene, stub_worker(running=4) as leaving:
        scene.place(CHAT, leaving=(leaving, "terminating"))
        await leaving.until_asked_again()
        assert scene.depth(CHAT) == "none of its 1 workers is ready"


async def test_a_worker_that_is_gone_is_not_asked_any_more() -> None:
    async with a_scene() as scene, stub_worker() as one, stub_worker() as other:
        scene.place(CHAT, one=one, other=other)
        await other.until_asked_again()
        scene.place(CHAT, one=one)
        await scene.reads(CHAT, 0)
        before = other.questions
        for _ in range(5):
            await one.until_asked_again()
        assert other.questions <= before + 1


async def test_a_worker_that_moves_is_asked_at_its_new_address() -> None:
    async with a_scene() as scene, stub_worker(waiting=1) as old, stub_worker(waiting=2) as new:
        scene.place(CHAT, pod=old)
        await scene.reads(CHAT, 1)
        scene.place(CHAT, pod=new)
        await scene.reads(CHAT, 2)


@pytest.mark.parametrize("answer", [b"\xff\xff\xff", b"\x0a"])
async def test_an_answer_that_is_no_load_is_a_failure_of_that_worker_alone(answer: bytes) -> None:
    async with a_scene() as scene, stub_worker() as odd, stub_worker(waiting=3) as well:
        odd.answer = answer
        scene.place(CHAT, odd=odd)
        scene.place(ModelKey("team-a", "embed"), well=well)
        await scene.reads(ModelKey("team-a", "embed"), 3)
        await scene.until(lambda: "has not answered yet: " in str(scene.depth(CHAT)))


async def test_something_else_on_the_port_is_a_failure() -> None:
    server = grpc.aio.server()
    worker = StubWorker(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, None)
        scene = await stack.enter_async_context(a_scene())
        scene.place(CHAT, other=worker)
        await scene.until(lambda: "Method not found" in str(scene.depth(CHAT)))


async def test_a_long_silence_of_the_api_server_makes_everything_unknown() -> None:
    async with a_scene() as scene, stub_worker() as one:
        scene.place(CHAT, one=one)
        await scene.reads(CHAT, 0)
        assert scene.view.unseen("team-a") is None
        scene.clock.ahead += VIEW_LIFETIME + 1
        assert "listed 31 s ago" in str(scene.view.unseen("team-a"))


async def test_only_the_namespaces_it_is_told_to_watch_are_in_view() -> None:
    async with stub_worker(waiting=2) as one, stub_worker(waiting=3) as other:
        api, both = MemoryApi(), {"team-a": one, "team-b": other}
        for name, worker in both.items():
            path = f"/apis/discovery.k8s.io/v1/namespaces/{name}/endpointslices"
            api.put(path, a_slice(ModelKey(name, "chat"), {f"pod-of-{name}": worker}))
        async with a_view(api, tuple(both)) as scene:
            await scene.reads(ModelKey("team-a", "chat"), 2)
            await scene.reads(ModelKey("team-b", "chat"), 3)
            assert scene.view.unseen("team-b") is None
            assert "LEPTON_WATCH_NAMESPACES" in str(scene.view.unseen("team-c"))


async def test_before_the_list_the_reason_is_the_api_servers() -> None:
    api = MemoryApi()
    api.denied["GET"] = ApiError(403, "endpointslices is forbidden")
    tools = Tools(dial=dial, clock=time.monotonic, telemetry=Telemetry(CollectorRegistry()))
    view = View(api, ("team-a",), tools)
    task = asyncio.create_task(view.run())
    try:
        async with asyncio.timeout(5):
            await api.refused.wait()
        assert "forbidden" in str(view.missing())
        assert "does not watch it" in str(view.unseen("team-b"))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_prometheus_sees_depths_sources_and_failures() -> None:
    async with a_scene() as scene, stub_worker(waiting=3) as one, stub_worker() as other:
        scene.place(CHAT, one=one, other=(other, "terminating"))
        await scene.reads(CHAT, 3)
        text = generate_latest(scene.registry).decode()
    for line in (
        'lepton_queue_depth{model="chat",namespace="team-a"} 3.0',
        'lepton_metrics_sources{ready="true"} 1.0',
        'lepton_metrics_sources{ready="false"} 1.0',
        # The model without workers.
        "lepton_metrics_models_unknown 1.0",
        "lepton_metrics_collect_failures_total 0.0",
    ):
        assert line in text
