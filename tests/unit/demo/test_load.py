"""The load generator, against real gRPC servers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc

from lepton.v1 import text_pb2, text_pb2_grpc
from lepton_demo.arrivals import Concurrency, Poisson
from lepton_demo.load import FIRST_PAUSE, LoadPlan, run_load
from lepton_demo.questions import embedding_call
from lepton_demo.tally import Tally

Context: TypeAlias = "grpc.aio.ServicerContext[text_pb2.EmbedRequest, text_pb2.EmbedResponse]"
Answer: TypeAlias = "Callable[[text_pb2.EmbedRequest, Context], Awaitable[None]]"


class Worker(text_pb2_grpc.TextServicer):
    """Answers embeddings as it is told and counts them."""

    def __init__(self, answer: "Answer | None" = None) -> None:
        self.inputs: list[str] = []
        self.running = self.most = 0
        self._answer = answer

    async def Embed(  # noqa: N802
        self, request: text_pb2.EmbedRequest, context: Context
    ) -> text_pb2.EmbedResponse:
        self.inputs.append(request.inputs[0])
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self._answer is not None:
                await self._answer(request, context)
            else:
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        return text_pb2.EmbedResponse()


@asynccontextmanager
async def served(worker: Worker) -> AsyncIterator[str]:
    server = grpc.aio.server()
    text_pb2_grpc.add_TextServicer_to_server(worker, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def refuse(request: text_pb2.EmbedRequest, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "going")


async def overloaded(request: text_pb2.EmbedRequest, context: Context) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")


CALL = embedding_call("minilm", ["one", "two", "three"])
ONCE = LoadPlan(Poisson(2000, seed=5), seconds=0.01)


async def test_an_open_loop_sends_exactly_what_arrives() -> None:
    worker = Worker()
    async with served(worker) as address:
        report = await run_load(lambda: [address], CALL, ONCE)
    expected = len(list(Poisson(2000, seed=5).offsets(0.01)))
    assert report.sent == report.answered == len(worker.inputs) == expected
    assert report.lost == 0
    assert Counter(worker.inputs)["one"] == len(range(0, expected, 3))


async def test_a_closed_loop_keeps_its_callers_busy_and_never_more() -> None:
    stop, tally = asyncio.Event(), Tally()

    async def answer(request: text_pb2.EmbedRequest, context: Context) -> None:
        await asyncio.sleep(0)
        if tally.answered >= 30:
            stop.set()

    worker = Worker(answer)
    async with served(worker) as address:
        plan = LoadPlan(Concurrency(4), seconds=60)
        report = await run_load(lambda: [address], CALL, plan, tally=tally, stop=stop)
    assert worker.most <= 4
    assert report.answered >= 30
    assert report.sent == report.answered


async def test_what_is_under_way_when_the_load_stops_is_still_answered() -> None:
    stop, arrived, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(request: text_pb2.EmbedRequest, context: Context) -> None:
        arrived.set()
        await go.wait()

    async with served(Worker(answer)) as address:
        plan = LoadPlan(Concurrency(1), seconds=60)
        load = asyncio.create_task(run_load(lambda: [address], CALL, plan, stop=stop))
        await arrived.wait()
        stop.set()
        go.set()
        report = await load
    assert (report.sent, report.answered) == (1, 1)


async def test_targets_take_turns_and_new_ones_are_found() -> None:
    stop, tally = asyncio.Event(), Tally()
    first, second = Worker(), Worker()
    async with served(first) as one, served(second) as two:
        targets = [one]

        async def answer(request: text_pb2.EmbedRequest, context: Context) -> None:
            if tally.answered == 10:
                targets.append(two)
            if tally.answered >= 50:
                stop.set()

        first._answer = second._answer = answer
        plan = LoadPlan(Concurrency(1), seconds=60)
        report = await run_load(lambda: targets, CALL, plan, tally=tally, stop=stop)
    assert abs(len(first.inputs) - len(second.inputs) - 10) <= 2
    assert report.by_target == {one: len(first.inputs), two: len(second.inputs)}


async def test_a_refused_request_is_taken_to_the_next_worker() -> None:
    refusing, answering = Worker(refuse), Worker()
    async with served(refusing) as one, served(answering) as two:
        plan = LoadPlan(Poisson(300, seed=1), seconds=0.02, attempts=2)
        report = await run_load(lambda: [one, two], CALL, plan)
    assert report.lost == 0
    assert report.retries == len(refusing.inputs) > 0


async def test_a_worker_that_is_gone_costs_no_request_when_there_is_another() -> None:
    async with served(Worker()) as gone:
        pass
    async with served(Worker()) as address:
        plan = LoadPlan(Poisson(300, seed=2), seconds=0.02, attempts=2)
        report = await run_load(lambda: [gone, address], CALL, plan)
    assert report.lost == 0
    assert set(report.by_target) == {address}


async def test_failures_are_counted_by_their_status_and_only_refusals_are_retried() -> None:
    worker = Worker(overloaded)
    async with served(worker) as address:
        plan = LoadPlan(Poisson(300, seed=1), seconds=0.02, attempts=5)
        report = await run_load(lambda: [address], CALL, plan)
    assert report.sent > 0
    assert report.failures == {"RESOURCE_EXHAUSTED": report.sent}
    assert report.retries == 0
    assert report.latencies == ()


async def test_without_any_target_requests_are_lost_not_forgotten() -> None:
    report = await run_load(list, CALL, ONCE)
    assert report.failures == {"NO_TARGET": report.sent}
    assert report.lost == report.sent > 0


async def test_an_answer_that_does_not_come_is_given_up() -> None:
    async def never(request: text_pb2.EmbedRequest, context: Context) -> None:
        await asyncio.get_running_loop().create_future()

    worker = Worker(never)
    async with served(worker) as address:
        plan = LoadPlan(Poisson(300, seed=1), seconds=0.01, timeout=0.2)
        report = await run_load(lambda: [address], CALL, plan)
    assert report.failures == {"DEADLINE_EXCEEDED": report.sent}


async def test_latency_includes_the_wait_for_a_target() -> None:
    stop, asked = asyncio.Event(), 0

    async with served(Worker()) as address:

        def targets() -> list[str]:
            nonlocal asked
            asked += 1
            if asked <= 2:
                return []
            stop.set()
            return [address]

        plan = LoadPlan(Concurrency(1), seconds=60, attempts=4)
        report = await run_load(targets, CALL, plan, stop=stop)
    assert report.retries == 2
    assert sum(report.latencies) > FIRST_PAUSE + FIRST_PAUSE  # the second pause is the longer one
