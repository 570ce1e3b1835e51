"""Texts that a model is asked to write of a text: summaries, translations; and the score of a text.

Encoder-decoder models are made for it and read the text as it is. Chat models are asked for it, in
words of our own behind their template.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lepton_worker.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    TaskNotServed,
    Violation,
)
from lepton_worker.model import GenerationDefaults, Model, Tokenized
from lepton_worker.request import Beams, GenerateJob, TokenLogprob, Tokens
from lepton_worker.tasks.chat import Chat, Message, chat_tokens
from lepton_worker.tasks.generate import AskedSampling, generate_job, score_job
from lepton_worker.tasks.parts import joint, parts
from lepton_worker.tasks.prepare import LONGEST_TOKEN, complaint, tokenized

SUMMARY_TOKENS = 128
"""Of a summary, where neither request nor model says how long it may be."""

SUMMARY_PROMPT = "summarization"
TRANSLATION_PROMPT = "translation_{source}_to_{target}"
"""Names of prompts in a model's `task_specific_params`, as T5 has them."""

MOST_BEAMS = 16

MOST_NAMED = 8
"""Names that an error lists."""

MOST_CHARACTERS, MOST_PARTS = 4_000_000, 256
"""Of a text that is read in parts, and of these."""

NO_ROOM = "leaves no room beside what the model has to be asked; ask for a shorter answer"

LEAST_ROOM, SPARE = 16, 4
"""Tokens of a text that a part must have room for; tokens left free, as a part by itself may have
some more than it has within the text."""


@dataclass(frozen=True)
class Order:
    """What shall be written of each text.

    `front` goes in front of the text: the model's own prefix, or for chat models (`chat`) what we
    ask. `source` is the token of the text's language, `forced` that of the answer's.
    `usual_tokens` is how long an answer may be where nobody says; None is twice the text. `beams`
    are those that it is searched with, `defaults` what the model says of this task, if anything.
    """

    front: str = ""
    chat: bool = False
    source: int | None = None
    forced: tuple[int, ...] = ()
    usual_tokens: int | None = None
    beams: Beams = field(default_factory=Beams)
    defaults: GenerationDefaults | None = None


@dataclass(frozen=True)
class Length:
    """How long an answer may and must be, in tokens; 0 is "as usual"."""

    most: int = 0
    least: int = 0


@dataclass(frozen=True)
class Prepared:
    """A text, or part of one, as a job for the engine.

    `truncated` says that its end was cut off, `behind` goes between its answer and the next part's.
    """

    job: GenerateJob
    truncated: bool = False
    behind: str = ""


@dataclass(frozen=True)
class Score:
    """How probable a text is: the sum of its log probabilities, and its perplexity."""

    logprob: float
    perplexity: float


# ------------------------------------------------------------------ what is asked for
def summary(model: Model, most_tokens: int) -> Order:
    """The order for a summary; raises TaskNotServed."""
    if model.encoder_decoder:
        front, own = model.prompts.get(SUMMARY_PROMPT, ""), model.task_defaults.get(SUMMARY_PROMPT)
        return Order(front, usual_tokens=SUMMARY_TOKENS, defaults=own)
    _check_chat(model, "Summarise")
    # Three tokens are about two words; a limit that is only enforced cuts sentences.
    length = f"in at most {max(1, most_tokens * 2 // 3)} words" if most_tokens else "briefly"
    front = (
        f"Summarise the text below {length}, in its own language. "
        "Answer with the summary and nothing else.\n\n"
    )
    return Order(front, chat=True, usual_tokens=SUMMARY_TOKENS)


def translation(model: Model, source: str, target: str) -> Order:
    """The order for a translation; raises TaskNotServed, InvalidRequest."""
    if model.encoder_decoder:
        return _learned_translation(model, source, target)
    _check_chat(model, "Translate")
    if not target:
        raise InvalidRequest([Violation("target_language", "must name a language")])
    direction = f"from {source} into {target}" if source else f"into {target}"
    front = (
        f"Translate the text below {direction}. Answer with the translation and nothing else.\n\n"
    )
    return Order(front, chat=True)


def searched(model: Model, order: Order, beams: int) -> Order:
    """The order with so many beams, or with the model's own where 0; raises InvalidRequest."""
    own = (order.defaults or model.defaults).beams
    if model.encoder_decoder:
        most, text = MOST_BEAMS, f"must be 0 (as the model has it) to {MOST_BEAMS}"
    else:
        most, text = 1, "must be 0 or 1: this model writes one token after the other"
    if not 0 <= beams <= most:
        raise InvalidRequest([Violation("num_beams", text)])
    return replace(order, beams=replace(own, count=beams or own.count))


def _learned_translation(model: Model, source: str, target: str) -> Order:
    """By language token (NLLB, M2M100, mBART), by prefix (T5), or in the one known direction."""
    if model.languages:
        wrong = _language_violations(model, source, target)
        if wrong:
            raise InvalidRequest(wrong)
        start = model.languages[source] if source else None
        return Order(source=start, forced=(model.languages[target],))
    head, _, _ = TRANSLATION_PROMPT.partition("{")
    pairs = sorted(
        name.removeprefix(head).removeprefix("_") for name in model.prompts if name.startswith(head)
    )
    if pairs:
        name = TRANSLATION_PROMPT.format(source=source, target=target)
        if name not in model.prompts:
            text = f"with source_language must be one of {_listed(pairs)} (source_to_target)"
            raise InvalidRequest([Violation("target_language", text)])
        return Order(model.prompts[name], defaults=model.task_defaults.get(name))
    text = "must be empty: this model knows one direction only"
    given = {"source_language": source, "target_language": target}
    wrong = [Violation(name, text) for name, value in given.items() if value]
    if wrong:
        raise InvalidRequest(wrong)
    return Order()


def _language_violations(model: Model, source: str, target: str) -> list[Violation]:
    text = f"must be a language of the model: {_listed(sorted(model.languages))}"
    wrong = [Violation("source_language", text)] if source not in {"", *model.languages} else []
    return wrong if target in model.languages else [*wrong, Violation("target_language", text)]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _check_chat(model: Model, call: str) -> None:
    if not model.chat_template:
        raise TaskNotServed(
            f"{call} needs an encoder-decoder model or one with a chat template, and this one "
            "is neither; write the prompt yourself and call Generate"
        )


# ------------------------------------------------------------------ texts as jobs
def written_job(
    model: Model, order: Order, text: str, length: Length, truncate: bool, field: str
) -> Prepared:
    """A text as a job that writes what was ordered; never drawn, so that the answer is always the
    same.

    Raises InvalidRequest, ContextLengthExceeded; `field` is how the caller calls the text.
    """
    model = replace(model, defaults=order.defaults or model.defaults)
    prompt = (_chat_prompt if order.chat else _prompt)(model, order, text, length, truncate, field)
    usual = model.defaults.max_new_tokens or order.usual_tokens or 2 * len(prompt.tokens) + 16
    room = model.max_length - (0 if model.encoder_decoder else len(prompt.tokens))
    asked = AskedSampling(
        max_new_tokens=length.most or max(1, min(room, max(usual, length.least))),
        min_new_tokens=length.least or None,
        temperature=0.0,
        forced=order.forced,
        beams=order.beams,
    )
    return Prepared(generate_job(model, prompt.tokens, asked, field), prompt.truncated)


def part_jobs(model: Model, order: Order, text: str, length: Length, field: str) -> list[Prepared]:
    """A text of any length as jobs of which each writes of a part; raises as `written_job` does."""
    if len(text) > MOST_CHARACTERS:
        raise _no_room(model, field, f"has more than {MOST_CHARACTERS} characters")
    room = _text_room(model, order, length, field) - SPARE
    if room < LEAST_ROOM:
        raise _no_room(model, field, NO_ROOM)
    ends = [end for _, end in model.tokenizer.pieces(text, special=False).spans]
    found = [part for part in parts(text, ends, room) if part.strip()] or [text]
    if len(found) > MOST_PARTS:
        raise _no_room(model, field, f"has {len(found)} parts, and at most {MOST_PARTS} are read")
    return [
        replace(written_job(model, order, part, length, False, field), behind=joint(part))
        for part in found
    ]


def _text_room(model: Model, order: Order, length: Length, field: str) -> int:
    """Tokens of a text that fit beside everything else that has to be in the prompt or behind."""
    if not order.chat:
        front = len(model.tokenizer.pieces(order.front, special=False).ids) if order.front else 0
        return model.max_length - model.tokenizer.frame().count - front
    around = len(_asked(model, order.front, field))
    answer = length.most or length.least or order.usual_tokens
    left = model.max_length - around
    # A translation is about as long as the text, in more tokens where the tokenizer knows it less.
    return left - answer if answer else left // 3


def scored_job(model: Model, text: str, truncate: bool, field: str) -> Prepared:
    """A text as a job that only reads it; raises InvalidRequest, ContextLengthExceeded."""
    result = tokenized(model, [text], truncate)[0]
    wrong = complaint(model, text, result, field)
    if wrong is None and len(result.tokens) < 2:
        alone = "has a single token, which nothing precedes: there is nothing to score"
        wrong = InvalidRequest([Violation(field, alone)])
    if wrong is not None:
        raise wrong
    return Prepared(score_job(result.tokens), result.truncated)


def _prompt(
    model: Model, order: Order, text: str, length: Length, truncate: bool, field: str
) -> Tokenized:
    """What an encoder-decoder reads."""
    text = order.front + text
    result = tokenized(model, [text], truncate)[0]
    wrong = complaint(model, text, result, field)
    if wrong is not None:
        raise wrong
    if order.source is None:
        return result
    return replace(result, tokens=_spoken(model, result.tokens, order.source))


def _spoken(model: Model, tokens: Tokens, language: int) -> Tokens:
    """The same text marked as of another language: the tokenizer marks all as of one."""
    known = frozenset(model.languages.values())
    frame = model.tokenizer.frame()
    inner = range(len(frame.front), len(tokens) - len(frame.back))
    ids = (
        language if place not in inner and token in known else token
        for place, token in enumerate(tokens.ids)
    )
    return replace(tokens, ids=tuple(ids))


def _chat_prompt(
    model: Model, order: Order, text: str, length: Length, truncate: bool, field: str
) -> Tokenized:
    """What a chat model reads; a text that is too long for it loses its end, not the question."""
    wanted = max(1, length.most or length.least)
    if not truncate:
        return Tokenized(_asked(model, order.front + text, field))
    bound = text[: model.max_length * LONGEST_TOKEN]
    ends = [end for _, end in model.tokenizer.pieces(bound, special=False).spans]
    kept = min(len(ends), model.max_length)
    while kept > 0:
        short = bound if kept == len(ends) else bound[: ends[kept - 1]]
        try:
            tokens = _asked(model, order.front + short, field)
            over = len(tokens) + wanted - model.max_length
        except ContextLengthExceeded as error:
            over = int(error.metadata["prompt_tokens"]) + wanted - model.max_length
        if over <= 0:
            return Tokenized(tokens, truncated=len(short) < len(text))
        kept -= over
    raise _no_room(model, field, NO_ROOM)


def _no_room(model: Model, field: str, text: str) -> ContextLengthExceeded:
    metadata = {"max_length": str(model.max_length)}
    return ContextLengthExceeded([Violation(field, text)], metadata=metadata)


def _asked(model: Model, text: str, field: str) -> Tokens:
    return chat_tokens(model, Chat((Message("user", text),)), field)


# ------------------------------------------------------------------ what came of them
def score(logprobs: Sequence[TokenLogprob]) -> Score:
    """The score of a text by the log probabilities of all its tokens but the first."""
    total = math.fsum(item.logprob for item in logprobs)
    mean = -total / len(logprobs)
    try:
        return Score(total, math.exp(mean))
    except OverflowError:
        return Score(total, math.inf)
