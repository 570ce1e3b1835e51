"""One reply of a model: from what the engine sends to what its caller sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lepton_worker.model import Model
from lepton_worker.request import Delta, Event, Finish, FinishReason, GenerateJob, Timing
from lepton_worker.tasks.chat import Tool, ToolCall, json_object
from lepton_worker.tasks.generate import NO_MARKERS, Completion
from lepton_worker.tasks.tool_grammar import arguments_schema
from lepton_worker.tasks.tool_schema import mismatch
from lepton_worker.tasks.tools import Call, CallReader, Format, Parsed
from lepton_worker.tasks.tools_xml import typed

TakeTime = Callable[[], Timing]
"""Where the time went, asked when a stop string ends a text before the engine does."""


@dataclass(frozen=True)
class Ending:
    """The end of a reply, and the calls that it consists of."""

    finish: Finish
    calls: tuple[ToolCall, ...] = ()


class Reply:
    """Makes text of tokens and finds the end.

    `reader` finds calls of tools, `markers` are special tokens that it has to see, `new_id` names
    calls that the model gave no id, `tools` are those whose schemas arguments are held against.
    """

    def __init__(
        self,
        job: GenerateJob,
        model: Model,
        reader: CallReader | None = None,
        markers: Mapping[int, str] = NO_MARKERS,
        new_id: Callable[[], str] = str,
        tools: Sequence[Tool] = (),
    ) -> None:
        self._prompt_tokens = len(job.prompt)
        self._completion = Completion(job, model, markers)
        self._reader = reader
        self._new_id = new_id
        self._schemas = {tool.name: arguments_schema(tool) for tool in tools}

    def take(self, events: Sequence[Event], timing: TakeTime) -> tuple[Delta, Ending | None]:
        """The next events of the engine as one delta, and the end if it has come; then no more."""
        made: list[Delta] = []
        for event in events:
            if isinstance(event, Delta):
                made.append(self._read(self._completion.add(event.ids, event.logprobs)))
            if self._completion.stopped or self._called():
                rest, end = self._stopped(timing())
            elif isinstance(event, Finish):
                rest, end = self._finished(event)
            else:
                continue
            return _joined([*made, rest]), end
        return _joined(made), None

    def _read(self, delta: Delta) -> Delta:
        if self._reader is None:
            return delta
        return replace(delta, text=self._reader.feed(delta.text))

    def _stopped(self, timing: Timing) -> tuple[Delta, Ending]:
        """A stop string or the only call has ended the text; the engine does not know of it."""
        written = self._completion.output_tokens
        return self._settled(Finish(FinishReason.STOP, self._prompt_tokens, written, timing))

    def _finished(self, finish: Finish) -> tuple[Delta, Ending]:
        """The engine has ended the text; with what was held back a stop string may come up."""
        rest = self._read(self._completion.end())
        reason = FinishReason.STOP if self._completion.stopped else finish.reason
        return self._settled(replace(finish, reason=reason), rest.text)

    def _settled(self, finish: Finish, text: str = "") -> tuple[Delta, Ending]:
        """What the reader held back becomes calls, or text after all."""
        parsed = self._parsed(finish.reason)
        rest = Delta(text + parsed.text, ())
        if not parsed.calls:
            return rest, Ending(finish)
        calls = tuple(self._named(call) for call in parsed.calls)
        return rest, Ending(replace(finish, reason=FinishReason.TOOL_CALLS), calls)

    def _parsed(self, reason: FinishReason) -> Parsed:
        if self._reader is None:
            return Parsed("")
        return self._reader.end() if reason is FinishReason.STOP else Parsed(self._reader.rest())

    def _called(self) -> bool:
        return self._reader is not None and self._reader.complete

    def _named(self, call: Call) -> ToolCall:
        schema = self._schemas.get(call.name, {})
        arguments = typed(call.arguments, schema) if call.untyped else call.arguments
        wrong = mismatch(json_object(arguments), schema)
        return ToolCall(call.id or self._new_id(), call.name, arguments, wrong)


def markers_of(model: Model, how: Format) -> dict[int, str]:
    """Special tokens that stand for marks of calls; decoding would leave them out."""
    found: dict[int, str] = {}
    for mark in how.seen:
        ids = model.tokenizer.pieces(mark, special=False).ids
        if len(ids) == 1 and not model.tokenizer.decode(ids):
            found[ids[0]] = mark
    return found


def _joined(deltas: Sequence[Delta]) -> Delta:
    return Delta(
        "".join(delta.text for delta in deltas),
        tuple(token for delta in deltas for token in delta.ids),
        tuple(item for delta in deltas for item in delta.logprobs),
    )
