"""Peers as targets, over HTTP: answers in one JSON document, or as server-sent events."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import aiohttp

from lepton_bench.engine.target import Piece, Refused
from lepton_bench.engine.workload import Item

Body = Callable[[Item], dict[str, Any]]
Read = Callable[[Any], list[float]]

FOREVER = aiohttp.ClientTimeout(total=None)
DATA, DONE = b"data:", b"[DONE]"


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=False), timeout=FOREVER
    )


class JsonTarget:
    """An encoder behind one POST a text."""

    def __init__(self, url: str, body: Body, read: Read) -> None:
        self._url, self._body, self._read = url, body, read
        self._session = _session()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def ask(self, item: Item) -> AsyncGenerator[Piece, None]:
        """One request, one piece."""
        try:
            async with self._session.post(self._url, json=self._body(item)) as answer:
                if answer.status >= 300:
                    raise Refused(f"HTTP {answer.status}")
                yield Piece(0, values=self._read(await answer.json(content_type=None)))
        except aiohttp.ClientError as error:
            raise Refused(type(error).__name__) from None


class OpenAiTarget:
    """A decoder behind OpenAI's `/v1/completions`, streaming."""

    def __init__(self, url: str, model: str, more: Mapping[str, Any] | None = None) -> None:
        self._url, self._model = f"{url}/v1/completions", model
        self._more = more or {}  # fields of the request that only this server knows
        self._session = _session()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def body(self, item: Item) -> dict[str, Any]:
        """The request's document."""
        return {
            "model": self._model,
            "prompt": item.text,
            "max_tokens": item.new_tokens,
            "temperature": 0,
            "stream": True,
            **self._more,
        }

    async def ask(self, item: Item) -> AsyncGenerator[Piece, None]:
        """Ask for a greedy answer; one piece for each event with text."""
        try:
            async with self._session.post(self._url, json=self.body(item)) as answer:
                if answer.status >= 300:
                    raise Refused(f"HTTP {answer.status}")
                async for line in answer.content:
                    if text := event_text(line):
                        yield Piece(1, text)
        except aiohttp.ClientError as error:
            raise Refused(type(error).__name__) from None


def event_text(line: bytes) -> str:
    """New text in a line of an event stream; raises Refused for an error told in the stream."""
    if not line.startswith(DATA):
        return ""
    data = line[len(DATA) :].strip()
    if not data or data == DONE:
        return ""
    event = json.loads(data)
    if "error" in event:
        raise Refused("error in the stream")
    return "".join(choice.get("text") or "" for choice in event.get("choices", ()))
