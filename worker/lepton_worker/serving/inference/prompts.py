"""The prompts of a request to a generating model: texts, tokens or chats, each as jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lepton_worker.engine.worker import Worker
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.model import Model
from lepton_worker.request import GenerateJob, Tokens
from lepton_worker.serving.answering import calling, chat_prompt, checked
from lepton_worker.serving.inference.options import (
    ECHO,
    NEEDS_LOGPROBS,
    Options,
    chat_fields,
    chats,
    located,
    none_of_chat,
)
from lepton_worker.serving.inference.parameters import Parameters
from lepton_worker.serving.inference.reading import IDS, TEXT, one_kind, token_rows
from lepton_worker.serving.inference.sampling_parameters import renamed, sampling, sampling_fields
from lepton_worker.serving.inference.tensors import Tensor, texts
from lepton_worker.serving.text_run import beside
from lepton_worker.tasks.chat import Chat
from lepton_worker.tasks.generate import AskedSampling, answers, generate_job
from lepton_worker.tasks.prepare import complaint

MESSAGES = "messages"

MOST_PROMPTS = 256
"""In one request, each of its answers by itself: a part of a stream has a row for every one."""


@dataclass(frozen=True)
class Prompt:
    """One row of a request: its text as it was sent, its tokens, and the chat that they are."""

    tokens: Tokens
    text: str = ""
    chat: Chat | None = None


@dataclass(frozen=True)
class Order:
    """Answers to a request, `n` for each prompt, each as a job; `echoed` is put in front of each.

    `name` is how the caller called the prompts, `fields` how fields of `lepton.v1` are called.
    """

    name: str
    prompts: tuple[Prompt, ...]
    jobs: tuple[GenerateJob, ...]
    n: int
    echoed: tuple[str, ...]
    fields: Mapping[str, str]

    def told(self, error: InvalidRequest) -> InvalidRequest:
        """An error in the caller's words."""
        return renamed(located(error, self.fields), self.fields)

    def prompt(self, index: int) -> Prompt:
        """The one that an answer is to."""
        return self.prompts[index // self.n]


async def prepare(
    worker: Worker,
    model: Model,
    tensors: Mapping[str, Tensor],
    parameters: Parameters,
    wanted: Sequence[str],
) -> Order:
    """The prompts of a request as jobs; raises InvalidRequest."""
    fields = {**sampling_fields(parameters), **chat_fields(parameters)}
    asked = sampling(parameters)
    if asked.logprobs is None and not NEEDS_LOGPROBS.isdisjoint(wanted):
        asked = replace(asked, logprobs=0)
    try:
        asked = await checked(asked)
    except InvalidRequest as error:
        raise renamed(error, fields) from None
    name, prompts = await _prompts(worker, model, tensors, parameters)
    _check_count(len(prompts), asked.n, fields)
    jobs: list[GenerateJob] = []
    for index, prompt in enumerate(prompts):
        jobs += await _jobs(model, prompt, asked, f"{name}[{index}]", fields)
    worker.metrics.prompt_tokens.inc(sum(len(prompt.tokens) for prompt in prompts))
    echoed = tuple(prompt.text for prompt in prompts for _ in range(asked.n))
    return Order(name, tuple(prompts), tuple(jobs), asked.n, echoed, fields)


def _check_count(prompts: int, n: int, fields: Mapping[str, str]) -> None:
    if prompts * n > MOST_PROMPTS:
        text = f"{n} answers to {prompts} prompts are more than {MOST_PROMPTS}; send fewer"
        raise InvalidRequest([Violation(fields.get("n", "n"), text)])


async def _prompts(
    worker: Worker, model: Model, tensors: Mapping[str, Tensor], parameters: Parameters
) -> tuple[str, list[Prompt]]:
    known = (TEXT, MESSAGES, IDS) if model.chat_template else (TEXT, IDS)
    kind = one_kind(tensors, known)
    name = tensors[kind].sent_as
    if kind != TEXT and ECHO in parameters and not parameters.flag(ECHO):
        parameters.wrong(ECHO, "must be true, or left out: only a prompt of text is repeated")
    if kind != MESSAGES:
        none_of_chat(parameters)
    parameters.check()
    if kind == IDS:
        return name, [Prompt(tokens) for tokens in await beside(token_rows, model, tensors)]
    rows = texts(tensors[kind])
    if kind == TEXT:
        return name, await _of_texts(worker, model, name, rows)
    found = chats(rows, name, parameters)
    return name, [
        await _of_chat(model, chat, f"{name}[{index}]", chat_fields(parameters))
        for index, chat in enumerate(found)
    ]


async def _of_chat(model: Model, chat: Chat, name: str, fields: Mapping[str, str]) -> Prompt:
    try:
        return Prompt(await chat_prompt(model, chat, "messages"), chat=chat)
    except InvalidRequest as error:
        raise located(error, {**fields, "messages": name}) from None


async def _of_texts(worker: Worker, model: Model, name: str, rows: Sequence[str]) -> list[Prompt]:
    empty = [index for index, text in enumerate(rows) if not text]
    if empty:
        text = "must not be empty"
        raise InvalidRequest([Violation(f"{name}[{index}]", text) for index in empty])
    found = await worker.tokenize(model, rows, False)
    for index, (text, result) in enumerate(zip(rows, found, strict=True)):
        wrong = complaint(model, text, result, f"{name}[{index}]")
        if wrong is not None:
            raise wrong
    return [Prompt(item.tokens, text) for text, item in zip(rows, found, strict=True)]


async def _jobs(
    model: Model, prompt: Prompt, asked: AskedSampling, field: str, fields: Mapping[str, str]
) -> list[GenerateJob]:
    """The answers to one prompt."""
    try:
        if prompt.chat is not None:
            asked = await calling(asked, prompt.chat, model)
        return answers(generate_job(model, prompt.tokens, asked, field), asked.n)
    except InvalidRequest as error:
        raise renamed(located(error, fields), fields) from None


def check_parts(options: Options, parameters: Parameters, growing: bool) -> None:
    """Raise InvalidRequest for what does not go with a text that comes whole, or in parts."""
    if options.stream and not growing:
        text = "must be false, or left out: this call has one answer; call ModelStreamInfer"
        parameters.wrong("stream", text)
    if options.echo and growing:
        text = "must be true, or left out, where the text comes in parts; or send stream: false"
        parameters.wrong(ECHO, text)
    parameters.check()
