"""What a load is put on: anything that answers an item piece by piece."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lepton_bench.engine.workload import Item


@dataclass(frozen=True)
class Piece:
    """One message of an answer: text of a decoder, numbers of an encoder."""

    tokens: int
    text: str = ""
    values: Sequence[float] = ()


class Refused(Exception):
    """The server answered with an error; the message is its code."""


class Target(Protocol):
    """A server under load. All of them are driven by the same loops."""

    def ask(self, item: Item) -> AsyncGenerator[Piece, None]:
        """Ask, and yield the answer as it comes; closing the generator hangs up.

        Raises Refused.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


async def whole(target: Target, item: Item) -> tuple[str, list[float]]:
    """The whole answer to an item: text and numbers."""
    text = ""
    values: list[float] = []
    async for piece in target.ask(item):
        text += piece.text
        values.extend(piece.values)
    return text, values
