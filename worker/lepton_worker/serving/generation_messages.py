"""Between the messages of Generation and our own values, with every check that needs no model."""

import json
import math
from collections.abc import Callable, Mapping, Sequence

from lepton.v1 import common_pb2, generation_pb2
from lepton_worker.errors import Violation
from lepton_worker.model import Tokenizer
from lepton_worker.request import Constraint, Delta, FinishReason, TokenLogprob
from lepton_worker.serving.convert import raise_for, timing
from lepton_worker.tasks.chat import Chat, Message, Tool, ToolCall, json_object, violations
from lepton_worker.tasks.generate import AskedSampling
from lepton_worker.tasks.reply import Ending
from lepton_worker.tasks.tool_choice import ToolChoice, ToolMode

MOST_STOPS = 16
MOST_ANSWERS = 16
MOST_LOGPROBS = 20
MOST_BIASED = 1024
MOST_TOOLS = 128

REASONS = {
    FinishReason.STOP: generation_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
    FinishReason.DRAINED: generation_pb2.FINISH_REASON_DRAINED,
    FinishReason.TOOL_CALLS: generation_pb2.FINISH_REASON_TOOL_CALLS,
}

MODES = {
    generation_pb2.TOOL_MODE_AUTO: ToolMode.AUTO,
    generation_pb2.TOOL_MODE_NONE: ToolMode.NONE,
    generation_pb2.TOOL_MODE_REQUIRED: ToolMode.REQUIRED,
}

Bound = tuple[str, Callable[[float], bool], str]

BOUNDS: tuple[Bound, ...] = (
    ("max_new_tokens", lambda value: value >= 1, "must be at least 1"),
    ("temperature", lambda value: 0 <= value < math.inf, "must be 0 (greedy) or greater"),
    ("top_p", lambda value: 0 < value <= 1, "must be greater than 0 and at most 1 (all tokens)"),
    ("top_k", lambda value: value >= 0, "must be 0 (all tokens) or greater"),
    ("min_p", lambda value: 0 <= value < 1, "must be 0 (all tokens) or greater, and below 1"),
    (
        "repetition_penalty",
        lambda value: 0 < value < math.inf,
        "must be greater than 0; 1 changes nothing",
    ),
    ("presence_penalty", lambda value: -2 <= value <= 2, "must be between -2 and 2"),
    ("frequency_penalty", lambda value: -2 <= value <= 2, "must be between -2 and 2"),
    ("min_new_tokens", lambda value: value >= 0, "must be 0 or greater"),
    (
        "logprobs",
        lambda value: 0 <= value <= MOST_LOGPROBS,
        f"must be between 0 (the chosen token's only) and {MOST_LOGPROBS}",
    ),
    ("n", lambda value: 1 <= value <= MOST_ANSWERS, f"must be between 1 and {MOST_ANSWERS}"),
)
"""Fields that may be left out: what each has to be, and how that is told."""


# ------------------------------------------------------------------ sampling
def asked_sampling(message: generation_pb2.Sampling) -> AskedSampling:
    """Sampling as asked for; raises InvalidRequest with every field that is out of bounds."""
    raise_for(sampling_violations(message))

    def given(name: str) -> bool:
        return bool(message.HasField(name))

    return AskedSampling(
        max_new_tokens=message.max_new_tokens if given("max_new_tokens") else None,
        temperature=message.temperature if given("temperature") else None,
        top_p=message.top_p if given("top_p") else None,
        top_k=message.top_k if given("top_k") else None,
        min_p=message.min_p if given("min_p") else None,
        repetition_penalty=message.repetition_penalty if given("repetition_penalty") else None,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        bias=tuple(sorted(message.logit_bias.items())),
        seed=message.seed if given("seed") else None,
        min_new_tokens=message.min_new_tokens if given("min_new_tokens") else None,
        stop=tuple(message.stop),
        ignore_eos=message.ignore_eos,
        logprobs=message.logprobs if given("logprobs") else None,
        n=message.n if given("n") else 1,
        constraint=_constraint(message),
    )


def sampling_violations(message: generation_pb2.Sampling) -> list[Violation]:
    """What is out of bounds in a sampling message."""
    found = [
        Violation(f"sampling.{name}", text)
        for name, right, text in BOUNDS
        if message.HasField(name) and not right(getattr(message, name))
    ]
    both = message.HasField("min_new_tokens") and message.HasField("max_new_tokens")
    if both and message.min_new_tokens > message.max_new_tokens:
        text = f"must be at most max_new_tokens, which is {message.max_new_tokens}"
        found.append(Violation("sampling.min_new_tokens", text))
    return [*found, *_stop_violations(message), *_bias_violations(message), *_constrained(message)]


def _stop_violations(message: generation_pb2.Sampling) -> list[Violation]:
    if len(message.stop) > MOST_STOPS:
        return [Violation("sampling.stop", f"must have at most {MOST_STOPS} strings")]
    empty = [index for index, text in enumerate(message.stop) if not text]
    return [Violation(f"sampling.stop[{index}]", "must not be empty") for index in empty]


def _bias_violations(message: generation_pb2.Sampling) -> list[Violation]:
    if len(message.logit_bias) > MOST_BIASED:
        return [Violation("sampling.logit_bias", f"must have at most {MOST_BIASED} tokens")]
    text = "must be between -100 (never) and 100 (always)"
    return [
        Violation(f"sampling.logit_bias[{token}]", text)
        for token, bias in sorted(message.logit_bias.items())
        if not -100 <= bias <= 100
    ]


def _constrained(message: generation_pb2.Sampling) -> list[Violation]:
    """What is wrong with a constraint at first sight; whether it can be kept, the engine knows."""
    kind = message.WhichOneof("constraint")
    wrong = ""
    if kind == "json_schema" and not _is_schema(message.json_schema):
        wrong = "must be a JSON schema: a JSON object, true or false"
    elif kind == "json_object" and not message.json_object:
        wrong = "must be true; leave it out for any text"
    elif kind in ("regex", "grammar") and not getattr(message, kind):
        wrong = "must not be empty"
    elif kind == "choices":
        wrong = _choices_wrong(message.choices.texts)
    return [Violation(f"sampling.{kind}", wrong)] if wrong else []


def _choices_wrong(texts: Sequence[str]) -> str:
    if not texts:
        return "must have at least one text"
    return "" if all(texts) else "must not have an empty text"


def _is_schema(text: str) -> bool:
    return text.strip() in ("true", "false") or json_object(text) is not None


def _constraint(message: generation_pb2.Sampling) -> Constraint | None:
    kind = message.WhichOneof("constraint")
    if kind is None:
        return None
    if kind == "json_object":
        return Constraint("json_object")
    if kind == "choices":
        return Constraint("choices", tuple(message.choices.texts))
    return Constraint(kind, (getattr(message, kind),))


# ------------------------------------------------------------------ chat
def asked_chat(request: generation_pb2.ChatRequest) -> Chat:
    """The chat of a request; raises InvalidRequest with everything that is wrong with it."""
    wrong = [
        *_tool_violations(request.tools),
        *_variable_violations(request.template_variables),
        *_mode_violations(request.tool_choice),
    ]
    raise_for(wrong)
    chat = Chat(
        messages=tuple(_message(message) for message in request.messages),
        tools=tuple(_tool(tool) for tool in request.tools),
        variables={name: json.loads(text) for name, text in request.template_variables.items()},
        continue_last=request.continue_last,
        choice=_choice(request),
    )
    raise_for(violations(chat))
    return chat


def _message(message: generation_pb2.Message) -> Message:
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in message.tool_calls)
    return Message(message.role, message.content, calls, message.tool_call_id, message.name)


def _tool(tool: generation_pb2.Tool) -> Tool:
    return Tool(tool.name, tool.description, json_object(tool.parameters or "{}") or {})


def _tool_violations(tools: Sequence[generation_pb2.Tool]) -> list[Violation]:
    if len(tools) > MOST_TOOLS:
        return [Violation("tools", f"must have at most {MOST_TOOLS} tools")]
    found = []
    for index, tool in enumerate(tools):
        if tool.parameters and json_object(tool.parameters) is None:
            text = "must be a JSON schema that is an object, or empty"
            found.append(Violation(f"tools[{index}].parameters", text))
    return found


def _mode_violations(choice: generation_pb2.ToolChoice) -> list[Violation]:
    if choice.mode in generation_pb2.ToolMode.values():
        return []
    return [Violation("tool_choice.mode", f"has no value {choice.mode}")]


def _choice(request: generation_pb2.ChatRequest) -> ToolChoice:
    sent = request.tool_choice
    # Who names a tool and says nothing else requires it.
    unsaid = ToolMode.REQUIRED if sent.name else ToolMode.AUTO
    parallel = not request.HasField("parallel_tool_calls") or request.parallel_tool_calls
    return ToolChoice(MODES.get(sent.mode, unsaid), sent.name, parallel)


def _variable_violations(variables: Mapping[str, str]) -> list[Violation]:
    return [
        Violation(f"template_variables[{name}]", 'must be a JSON value; a text is "in quotes"')
        for name, text in sorted(variables.items())
        if not _is_json(text)
    ]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# ------------------------------------------------------------------ events
class TokenTexts:
    """Texts of single tokens, special ones too; each is decoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def __getitem__(self, token: int) -> str:
        if token not in self._known:
            self._known[token] = self._tokenizer.decode([token], special=True)
        return self._known[token]


def delta_event(value: Delta, choice: int, texts: TokenTexts) -> generation_pb2.GenerateEvent:
    """New tokens as an event."""
    return generation_pb2.GenerateEvent(
        delta=generation_pb2.Delta(
            text=value.text,
            token_ids=value.ids,
            choice=choice,
            logprobs=[_logprob(item, texts) for item in value.logprobs],
        )
    )


def finish_event(value: Ending, choice: int) -> generation_pb2.GenerateEvent:
    """The end of an answer as an event."""
    finish = value.finish
    return generation_pb2.GenerateEvent(
        finish=generation_pb2.Finish(
            reason=REASONS[finish.reason],
            usage=common_pb2.Usage(
                prompt_tokens=finish.prompt_tokens,
                output_tokens=finish.output_tokens,
                cached_tokens=finish.cached_tokens,
            ),
            timing=timing(finish.timing),
            choice=choice,
            tool_calls=[
                generation_pb2.ToolCall(
                    id=call.id, name=call.name, arguments=call.arguments, mismatch=call.mismatch
                )
                for call in value.calls
            ],
        )
    )


def _logprob(item: TokenLogprob, texts: TokenTexts) -> generation_pb2.TokenLogprob:
    return generation_pb2.TokenLogprob(
        token_id=item.token,
        logprob=item.logprob,
        text=texts[item.token],
        top=[
            generation_pb2.TopToken(token_id=token, logprob=logprob, text=texts[token])
            for token, logprob in item.top
        ],
    )
