"""Engines that start, end and are replaced: what their requests get."""

import asyncio
import dataclasses
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lepton_testing.engines import (
    END_OF_WORLD,
    GatedBackend,
    a_text,
    running,
    start,
    text_of,
    whole,
)
from lepton_worker.engine.core import Core
from lepton_worker.engine.engine import Engine
from lepton_worker.engine.link import Port
from lepton_worker.engine.messages import Ready, Source, Stop, Submit, ToEngine
from lepton_worker.engine.thread_link import ThreadLink
from lepton_worker.errors import (
    DeviceLost,
    EngineLost,
    SourceNotFound,
)
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model, Verdicts


async def test_a_lost_device_fails_what_is_in_hand_and_ends_the_engine(
    echo_model: Model,
) -> None:
    async with running(echo_model, GatedBackend().free()) as engine:
        stream = start(engine, a_text(END_OF_WORLD))
        with pytest.raises(DeviceLost):
            await whole(stream)
        assert engine.lost is not None
        assert "RuntimeError" in await engine.lost


async def test_a_new_engine_gets_what_the_lost_one_had_not_answered(echo_model: Model) -> None:
    """One text has begun, one has not, when the engine ends; then it ends again and again."""
    ports: list[Port] = []
    backend = GatedBackend().free()

    def main(port: Port) -> None:
        ports.append(port)
        port.send([Ready(dataclasses.replace(echo_model, slots=1))])
        if len(ports) < 3:
            core = Core(backend, dataclasses.replace(echo_model, slots=1), port)
            core.take(wait=True)
            core.step()
            core._tell()
            raise SystemError("broken")
        Core(backend, dataclasses.replace(echo_model, slots=1), port).run()

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    await engine.load(lambda name, seconds: None)
    begun, waiting = start(engine, a_text(*b"abc")), start(engine, a_text(*b"xyz"))
    assert engine.lost is not None
    assert "SystemError" in await engine.lost
    with pytest.raises(EngineLost, match="after it had begun"):
        await whole(begun)
    await engine.load(lambda name, seconds: None)
    assert "SystemError" in await engine.lost
    await engine.load(lambda name, seconds: None)
    with pytest.raises(EngineLost):
        await whole(waiting)
    assert text_of(await whole(start(engine, a_text(*b"fine")))) == "fine"
    await engine.close()


async def test_an_engine_starts_before_its_files_are_there(echo_model: Model) -> None:
    started, told = threading.Event(), threading.Event()
    folders: list[Path] = []

    def main(port: Port) -> None:
        started.set()
        messages = port.take(wait=True)
        folders.extend(message.folder for message in messages if isinstance(message, Source))
        told.set()
        port.send([Ready(echo_model)])
        Core(GatedBackend().free(), echo_model, port).run()

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    source = asyncio.get_running_loop().create_future()
    loading = asyncio.create_task(engine.load(lambda name, seconds: None, source))
    assert await asyncio.to_thread(started.wait, 10)
    assert not told.is_set()
    source.set_result(Source(Path("somewhere")))
    await loading
    assert folders == [Path("somewhere")]
    await engine.close()


async def test_a_new_engine_is_told_what_the_lost_one_had_found(echo_model: Model) -> None:
    found = Verdicts(packed=True, timings={"float32": {1: 0.5}})
    told: list[ToEngine] = []

    def main(port: Port) -> None:
        told.extend(port.take(wait=True))
        port.send([Ready(dataclasses.replace(echo_model, verdicts=found))])
        if len(told) == 1:
            raise SystemError("broken")
        Core(GatedBackend().free(), echo_model, port).run()

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    source: asyncio.Future[Source] = asyncio.get_running_loop().create_future()
    source.set_result(Source(Path("somewhere")))
    await engine.load(lambda name, seconds: None, source)
    assert engine.lost is not None
    await engine.lost
    await engine.load(lambda name, seconds: None, source)
    assert told == [Source(Path("somewhere")), Source(Path("somewhere"), verdicts=found)]
    await engine.close()


async def test_files_that_cannot_be_had_end_the_start(echo_model: Model) -> None:
    def main(port: Port) -> None:
        assert port.take(wait=True) == [Stop()]

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    source = asyncio.get_running_loop().create_future()
    source.set_exception(SourceNotFound("it is not there"))
    with pytest.raises(SourceNotFound):
        await engine.load(lambda name, seconds: None, source)
    await engine.close()


async def test_what_comes_while_an_engine_loads_is_sent_to_it_once(echo_model: Model) -> None:
    sent: list[object] = []

    class Noting(ThreadLink):
        def send(self, message: ToEngine) -> None:
            sent.append(message)
            super().send(message)

    loads = threading.Semaphore(1)

    def main(port: Port) -> None:
        loads.acquire()
        port.send([Ready(echo_model)])
        Core(GatedBackend().free(), echo_model, port).run()

    engine = Engine(Noting(main), 8, Metrics("m", CollectorRegistry()))
    await engine.load(lambda name, seconds: None)
    engine._gone("it was killed")
    again = asyncio.create_task(engine.load(lambda name, seconds: None))
    await asyncio.sleep(0)
    stream = start(engine, a_text(*b"once"))
    assert sent == []
    loads.release()
    await again
    assert text_of(await whole(stream)) == "once"
    assert [message.number for message in sent if isinstance(message, Submit)] == [stream.number]
    await engine.close()
