"""What all ways to ask for a text share: constraints that can be kept, and reading the reply."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace

from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.model import Model
from lepton_worker.request import Constraint, GenerateJob, Tokens
from lepton_worker.tasks.chat import Chat, chat_tokens
from lepton_worker.tasks.generate import AskedSampling
from lepton_worker.tasks.reply import Reply, markers_of
from lepton_worker.tasks.tool_grammar import argument_constraints, calls_constraint
from lepton_worker.tasks.tools import CallReader, format_of

ID_LETTERS = 9
"""Of a call of a tool: Mistral's templates take ids of exactly nine letters and digits."""


OURS = "sampling.grammar"
"""How the engine calls the constraint that makes an answer calls."""


async def checked(asked: AskedSampling) -> AskedSampling:
    """Sampling whose constraint can be kept; raises InvalidRequest."""
    if asked.constraint is not None:
        await asyncio.to_thread(_check, asked.constraint)
    return asked


async def calling(asked: AskedSampling, chat: Chat, model: Model) -> AskedSampling:
    """Sampling under which the answer is the calls that a chat asks for, if it asks for any.

    Raises InvalidRequest for schemas that cannot be kept to.
    """
    if not chat.choice.forced:
        return asked
    if asked.constraint is not None:
        text = f"cannot be kept beside sampling.{asked.constraint.kind}: send one of them"
        raise InvalidRequest([Violation("tool_choice", text)])
    constraint = await asyncio.to_thread(_calls, chat, model)
    return replace(asked, constraint=constraint)


async def chat_prompt(model: Model, chat: Chat, field: str) -> Tokens:
    """The rendered chat, made beside the event loop: long ones take a while."""
    return await asyncio.to_thread(chat_tokens, model, chat, field)


@contextlib.contextmanager
def told_of_tools(chat: Chat | None) -> Iterator[None]:
    """Errors of the constraint that stands for calls are about `tool_choice`, which was sent."""
    try:
        yield
    except InvalidRequest as error:
        forced = chat is not None and chat.choice.forced
        if not forced or not any(item.field == OURS for item in error.violations):
            raise
        raise InvalidRequest([_of_tools(item) for item in error.violations]) from error


def _of_tools(item: Violation) -> Violation:
    if item.field != OURS:
        return item
    return Violation("tool_choice", f"{item.description}; auto lets the model decide")


def _calls(chat: Chat, model: Model) -> Constraint:
    # Imported when first needed: the grammars' library is large.
    from lepton_worker.backends.sampling.constraints import JSON_OPTIONS

    wrong: list[Violation] = []
    for index, one in argument_constraints(chat.tools, chat.choice):
        wrong += _violations(one, f"tools[{index}].parameters")
    if wrong:
        raise InvalidRequest(wrong)
    how = format_of(model.chat_template)
    markers = markers_of(model, how)
    constraint = calls_constraint(how, chat.tools, chat.choice, markers, JSON_OPTIONS)
    wrong = _violations(constraint, "tools")
    if wrong:
        raise InvalidRequest(wrong)
    return constraint


def _violations(constraint: Constraint, field: str) -> list[Violation]:
    """What is wrong with a constraint, told of the field that it was made of."""
    try:
        _check(constraint)
    except InvalidRequest as error:
        return [Violation(field, item.description) for item in error.violations]
    return []


def _check(constraint: Constraint) -> None:
    from lepton_worker.backends.sampling.constraints import check

    check(constraint)


def reply_to(job: GenerateJob, model: Model, chat: Chat | None = None) -> Reply:
    """How one reply is read: with an eye on calls where a chat offers tools."""
    if chat is None or not chat.offered:
        return Reply(job, model)
    how = format_of(model.chat_template)
    reader = CallReader(how, [tool.name for tool in chat.offered], chat.choice.single)
    return Reply(job, model, reader, markers_of(model, how), _new_id, chat.offered)


def _new_id() -> str:
    return uuid.uuid4().hex[:ID_LETTERS]
