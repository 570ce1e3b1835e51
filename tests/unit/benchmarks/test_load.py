"""The closed and the open loop: who is sent when, and what is noted."""

import asyncio
import time
from collections.abc import AsyncGenerator

from lepton_bench.engine.load import closed, opened
from lepton_bench.engine.outcome import CANCELLED, LATE
from lepton_bench.engine.target import Piece, Refused, whole
from lepton_bench.engine.workload import Item


class Fake:
    """Answers with one token a turn of the loop; knows how many asked and hung up."""

    crowd = 5

    def __init__(self, gate: asyncio.Event | None = None, refuse: str = "") -> None:
        self.running = self.most = self.hung_up = 0
        self._gate, self._refuse = gate, refuse
        self.crowded = asyncio.Event()

    async def ask(self, item: Item) -> AsyncGenerator[Piece, None]:
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running == self.crowd:
            self.crowded.set()
        try:
            if self._refuse:
                raise Refused(self._refuse)
            if self._gate:
                await self._gate.wait()
            for number in range(item.new_tokens):
                await asyncio.sleep(0)
                yield Piece(1, f"{number} ", values=[float(number)])
        except GeneratorExit:
            self.hung_up += 1
            raise
        finally:
            self.running -= 1

    async def close(self) -> None:
        pass


async def test_the_closed_loop_asks_for_all_items_so_many_at_once() -> None:
    fake = Fake()
    records, seconds = await closed(fake, [Item("a", 1, 3)] * 10, callers=4)
    assert fake.most == 4
    assert [record.outcome for record in records] == ["ok"] * 10
    assert [len(record.marks) for record in records] == [3] * 10
    assert seconds > 0
    assert all(record.intended <= record.marks[0][0] <= record.end for record in records)


async def test_a_caller_hangs_up_when_it_has_enough() -> None:
    fake = Fake()
    records, _ = await closed(fake, [Item("a", 1, 9, cancel_after=4)], callers=1)
    assert records[0].outcome == CANCELLED
    assert records[0].tokens == 4
    assert (fake.hung_up, fake.running) == (1, 0)


async def test_a_refusal_is_an_outcome_and_the_next_item_is_asked() -> None:
    records, _ = await closed(Fake(refuse="UNAVAILABLE"), [Item("a", 1, 1)] * 2, callers=1)
    assert [record.outcome for record in records] == ["UNAVAILABLE"] * 2


async def test_the_open_loop_sends_although_nothing_is_answered() -> None:
    gate = asyncio.Event()
    fake = Fake(gate)
    task = asyncio.create_task(opened(fake, [Item("a", 1, 1)] * 5, [0.0] * 5, grace=60))
    await fake.crowded.wait()
    gate.set()
    assert [record.outcome for record in await task] == ["ok"] * 5


async def test_a_stalled_caller_is_charged_from_the_moment_it_was_meant_to_ask() -> None:
    fake = Fake()

    async def stall() -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - the loop itself is late

    blocked = asyncio.create_task(stall())
    records = await opened(fake, [Item("a", 1, 1)], [0.01], grace=60)
    await blocked
    assert records[0].sent - records[0].intended > 0.02
    assert records[0].ttft >= records[0].sent - records[0].intended


async def test_a_caller_without_patience_is_late() -> None:
    fake = Fake(asyncio.Event())
    items = [Item("a", 1, 1, patience=0.01)]
    records = await opened(fake, items, [0.0], grace=60)
    assert records[0].outcome == LATE
    assert fake.running == 0


async def test_what_is_not_answered_at_the_end_is_unfinished() -> None:
    fake = Fake(asyncio.Event())
    records = await opened(fake, [Item("a", 1, 1)] * 2, [0.0, 0.0], grace=0.01)
    assert [record.outcome for record in records] == ["unfinished"] * 2
    assert fake.running == 0


async def test_a_whole_answer_joins_its_pieces() -> None:
    assert await whole(Fake(), Item("a", 1, 3)) == ("0 1 2 ", [0.0, 1.0, 2.0])
