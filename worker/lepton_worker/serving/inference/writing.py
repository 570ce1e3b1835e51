"""Answers of models that generate: the whole texts, or the texts as they grow."""

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lepton_worker.errors import InvalidRequest, RequestError
from lepton_worker.request import Delta, TokenLogprob
from lepton_worker.serving.answering import reply_to, told_of_tools
from lepton_worker.serving.desk import Seat
from lepton_worker.serving.generation import PAUSE_SECONDS
from lepton_worker.serving.generation_messages import TokenTexts
from lepton_worker.serving.inference.answer import Answer, Spent, at_index
from lepton_worker.serving.inference.prompts import Order
from lepton_worker.serving.inference.tensors import Values
from lepton_worker.serving.replies import Incoming, merged
from lepton_worker.tasks.chat_json import calls_as_json
from lepton_worker.tasks.reply import Ending

NANOSECONDS = 1e9


@dataclass
class Numbered(Incoming):
    """A reply that says of which prompt it is when it fails."""

    order: Order | None = None
    index: int = 0

    async def next(self) -> tuple[Delta, Ending | None]:
        """What is new; see Incoming."""
        assert self.order is not None
        try:
            with told_of_tools(self.order.prompt(self.index).chat):
                return await super().next()
        except InvalidRequest as error:
            raise self.order.told(error) from error
        except RequestError as error:
            raise at_index(error, self.order.name, self.index // self.order.n) from error


@dataclass
class Row:
    """What an answer has in its row: of a part what is new, but `cumulative` from the beginning.

    `told` says that an earlier part had the end.
    """

    text: str = ""
    tokens: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    cumulative: float = 0.0
    end: Ending | None = None
    told: bool = False

    def add(self, delta: Delta, end: Ending | None) -> None:
        """Take what has come."""
        self.text += delta.text
        self.tokens += len(delta.ids)
        self.logprobs += delta.logprobs
        self.cumulative += sum(item.logprob for item in delta.logprobs)
        self.end = end

    def taken(self) -> None:
        """It was sent: what comes now is new."""
        self.text, self.tokens, self.logprobs = "", 0, []
        self.told = self.end is not None

    @property
    def news(self) -> Ending | None:
        """The end, in the part that tells it."""
        return None if self.told else self.end


async def written(seat: Seat, order: Order, echo: bool) -> Answer:
    """The whole texts; `echo` puts each behind its prompt."""
    rows = [Row(text if echo else "") for text in order.echoed]
    async with contextlib.aclosing(merged(_replies(seat, order, 0.0))) as news:
        async for index, delta, end in news:
            rows[index].add(delta, end)
    ends = [row.end for row in rows if row.end is not None]
    return _answer(order, rows, TokenTexts(seat.model.tokenizer), ends)


async def growing(seat: Seat, order: Order) -> AsyncGenerator[tuple[Answer, bool], None]:
    """What is new of the texts, each time in a row for every answer; the last one says True."""
    rows = [Row() for _ in order.jobs]
    ends: list[Ending] = []
    known = TokenTexts(seat.model.tokenizer)
    async with contextlib.aclosing(merged(_replies(seat, order, PAUSE_SECONDS))) as news:
        async for index, delta, end in news:
            row = rows[index]
            row.add(delta, end)
            if end is not None:
                ends.append(end)
            last = len(ends) == len(rows)
            for ended in rows if last else ():
                ended.told = False  # The last part has all ends.
            # Tokens without text wait for it, unless somebody wants to see them.
            if row.text or row.logprobs or end is not None:
                yield _answer(order, rows, known, ends if last else ()), last
                row.taken()


def _replies(seat: Seat, order: Order, pause: float) -> list[Numbered]:
    return [
        Numbered(
            seat.generate(job),
            reply_to(job, seat.model, order.prompt(index).chat),
            pause,
            order=order,
            index=index,
        )
        for index, job in enumerate(order.jobs)
    ]


def _answer(order: Order, rows: Sequence[Row], known: TokenTexts, ends: Sequence[Ending]) -> Answer:
    """The rows as outputs. What they cost is told once all have ended: then `ends` has all."""
    outputs: dict[str, Values] = {
        "text_output": [row.text.encode() for row in rows],
        "finish_reason": [_reason(row) for row in rows],
        "tool_calls": [_calls(row) for row in rows],
        "cumulative_logprob": np.array([row.cumulative for row in rows], "<f4"),
        "logprobs": [_logprobs(row.logprobs, known) for row in rows],
        "num_input_tokens": np.array([len(job.prompt) for job in order.jobs], "<u4"),
        "num_output_tokens": np.array([row.tokens for row in rows], "<u4"),
    }
    if not ends:
        return Answer(len(rows), outputs)
    finished = [end.finish for end in ends]
    return Answer(
        len(rows),
        outputs,
        {
            "prompt_tokens": sum(len(prompt.tokens) for prompt in order.prompts),
            "output_tokens": sum(item.output_tokens for item in finished),
        },
        Spent(
            max(round(item.timing.queue * NANOSECONDS) for item in finished),
            max(round(item.timing.total * NANOSECONDS) for item in finished),
        ),
    )


def _reason(row: Row) -> bytes:
    """Empty for a text that goes on."""
    return b"" if row.news is None else row.news.finish.reason.value.encode()


def _calls(row: Row) -> bytes:
    """A list in JSON; empty for a text that goes on."""
    return b"" if row.news is None else calls_as_json(row.news.calls).encode()


def _logprobs(items: Sequence[TokenLogprob], known: TokenTexts) -> bytes:
    """A list in JSON: for each token an object by token, the chosen one first, as in vLLM's
    backend."""
    return json.dumps([_by_token(item, known) for item in items], ensure_ascii=False).encode()


def _by_token(item: TokenLogprob, known: TokenTexts) -> Mapping[str, Mapping[str, object]]:
    ranks = {token: rank for rank, (token, _) in enumerate(item.top, 1)}
    found = {}
    for token, logprob in ((item.token, item.logprob), *item.top):
        shown: dict[str, object] = {"logprob": logprob, "decoded_token": known[token]}
        if token in ranks:
            shown["rank"] = ranks[token]
        found[str(token)] = shown
    return found
