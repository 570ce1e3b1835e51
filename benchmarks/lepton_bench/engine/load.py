"""The load generator: a closed loop of callers, and an open loop of arrivals.

In the open loop a request's latency counts from the moment it was meant to be sent, so that a
server that stalls is charged for everybody who waited (no coordinated omission).
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing

from lepton_bench.engine.outcome import CANCELLED, LATE, Record
from lepton_bench.engine.target import Refused, Target
from lepton_bench.engine.workload import Item

TIMEOUT = 600.0
"""Seconds after which a caller gives up."""


async def ask(target: Target, record: Record) -> None:
    """Ask for the record's item and write down what happens; never raises but when cancelled."""
    record.sent = time.perf_counter()
    try:
        async with asyncio.timeout(_patience(record)):
            await _listen(target, record)
    except Refused as error:
        record.outcome = str(error)
    except TimeoutError:
        record.outcome = LATE
    except asyncio.CancelledError:
        record.outcome = "unfinished"
        raise
    finally:
        record.end = time.perf_counter()


def _patience(record: Record) -> float:
    wanted = record.item.patience
    return TIMEOUT if wanted is None else max(0.0, record.intended + wanted - record.sent)


async def _listen(target: Target, record: Record) -> None:
    heard = 0
    async with aclosing(target.ask(record.item)) as answer:
        async for piece in answer:
            record.marks.append((time.perf_counter(), piece.tokens))
            heard += piece.tokens
            if record.item.cancel_after is not None and heard >= record.item.cancel_after:
                record.outcome = CANCELLED
                return


async def closed(target: Target, items: Sequence[Item], callers: int) -> tuple[list[Record], float]:
    """So many callers share the items, each asking as soon as it has its answer; and seconds."""
    records: list[Record] = []
    waiting: Iterator[Item] = iter(items)

    async def caller() -> None:
        for item in waiting:
            record = Record(item, time.perf_counter())
            records.append(record)
            await ask(target, record)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(min(callers, len(items)))))
    return records, time.perf_counter() - start


async def opened(
    target: Target, items: Sequence[Item], moments: Sequence[float], grace: float
) -> list[Record]:
    """Send each item at its moment, whatever has been answered; wait `grace` seconds at the end.

    What is not answered then is recorded as unfinished.
    """
    start = time.perf_counter()
    records, tasks = [], []
    for item, moment in zip(items, moments, strict=True):
        record = Record(item, start + moment)
        records.append(record)
        await asyncio.sleep(max(0.0, record.intended - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(target, record)))
    if tasks:
        await asyncio.wait(tasks, timeout=grace)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return records
