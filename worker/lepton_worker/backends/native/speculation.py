"""Which method guesses tokens ahead for a decoder, from what was asked for and what it costs."""

import time
from collections.abc import Sequence
from dataclasses import replace

from lepton_worker.backends.base import DecoderSequence, LoadOrder, Progress, Span, Speculation
from lepton_worker.backends.linears.install import install_linears
from lepton_worker.backends.native import decoder_parity
from lepton_worker.backends.native.assistant import AssistantDrafter
from lepton_worker.backends.native.decoder import SlotDecoder, TextDecoder
from lepton_worker.backends.sampling.sampler import Sampler
from lepton_worker.backends.speculation.drafting import Drafter, Drafting, Drafts
from lepton_worker.backends.speculation.ngrams import NgramDrafter
from lepton_worker.backends.speculation.policy import FEW, worth
from lepton_worker.backends.transformers.loading import Loaded, load_model, stored_dtype
from lepton_worker.errors import InvalidSetting
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Sampling, Tokens

TOKENS = 6
"""Tokens guessed at a time where nothing else is asked for: kernels for few rows take up to some
eight at little more than the cost of one."""
ROUNDS = 4
"""Trials of a step with guesses and of one without; the fastest of each counts."""
PROMPT = 8
"""Tokens of the text that these are made with."""
UNKNOWN_COST = 0.25
"""Of a guess, as a share of a step, for models too short for a trial."""


def load_assistant(order: LoadOrder, model: Model) -> Loaded | None:
    """The smaller model, if one is asked for and would be used; raises LoadError.

    Raises InvalidSetting for one that has other tokens, or that does not run on slots.
    """
    folder = order.speculation.folder
    if order.speculation.method != "assistant" or folder is None or model.device != "cpu":
        return None
    own = replace(order, folder=folder, speculation=Speculation(), max_length=None)
    loaded = load_model(own)
    difference = "it has an encoder" if loaded.facts.encoder_decoder else None
    difference = difference or other_tokens(vocabulary(model), vocabulary(loaded.facts))
    difference = difference or decoder_parity.check(loaded)
    if difference is not None:
        raise InvalidSetting(f"{folder} cannot be the assistant of this model: {difference}")
    stored = stored_dtype(folder) or loaded.facts.dtype
    install_linears(loaded.module, order.quantization, order.task, stored)
    return loaded


def vocabulary(model: Model) -> dict[str, int]:
    """The tokens of a model by their text."""
    rust = getattr(model.tokenizer, "rust", None)
    return {} if rust is None else dict(rust.get_vocab(with_added_tokens=True))


def other_tokens(first: dict[str, int], second: dict[str, int]) -> str | None:
    """How the assistant's tokens, `second`, contradict the model's; None if they do not.

    Either may have some that the other does not know, such as marks for chats.
    """
    numbers = {number: text for text, number in first.items()}
    unlike = [
        (number, text)
        for text, number in second.items()
        if first.get(text, number) != number or numbers.get(number, text) != text
    ]
    if not unlike:
        return None
    number, text = min(unlike)
    return (
        f"its tokenizer is another one: of its {len(second)} tokens {len(unlike)} are others for "
        f"the model, the first one token {number}, {text!r}"
    )


def open_drafts(
    decoder: TextDecoder, model: Model, order: LoadOrder, assistant: Loaded | None, tokens: int
) -> tuple[Drafts | None, str]:
    """Who guesses for the decoder, if anybody, and why in a sentence for users.

    `tokens` is how many can have state.
    """
    method = order.speculation.method
    if method == "none":
        return None, "none: not asked for"
    if model.device != "cpu":
        return None, f"none: steps on {model.device} are not known to be faster with it"
    most = order.speculation.tokens or TOKENS
    drafter: Drafter = NgramDrafter()
    if assistant is not None:
        drafter = _assistant(assistant, model, tokens)
    cost = _measured(decoder, drafter, model, most)
    said = f"a guessed token adds {cost:.0%} to a step of one text"
    if method == "auto" and not worth(cost, most):
        return None, f"none: {said}"
    kind = "ngram" if assistant is None else "assistant"
    chosen = f"{kind}: up to {most} tokens at a time while at most {FEW} texts run; {said}"
    return Drafting(drafter, "assistant" if assistant else "ngram", most, cost), chosen


def _assistant(loaded: Loaded, model: Model, tokens: int) -> AssistantDrafter:
    """The assistant on slots of its own, which hold as many tokens as the model's at most."""
    facts = loaded.facts
    size = min(model.vocabulary, facts.vocabulary)
    longest = min(model.max_length, facts.max_length, tokens)
    sampler = Sampler(GenerationDefaults(), facts.vocabulary, None)
    short = replace(loaded, facts=replace(facts, max_length=longest))
    decoder = SlotDecoder(short, FEW, min(tokens, FEW * longest), sampler)
    return AssistantDrafter(decoder, size, longest)


class _Always:
    """Guesses without asking whether it pays."""

    def __init__(self, drafter: Drafter, most: int) -> None:
        self._drafter, self._most = drafter, most

    def draft(self, sequences: Sequence[DecoderSequence], running: int) -> list[list[int]]:
        """As many as there may be, filled up with the first token."""
        found = self._drafter.draft([(sequence, self._most) for sequence in sequences])
        return [(draft + [0] * self._most)[: self._most] for draft in found]

    def verified(self, sequence: DecoderSequence, drafted: int, accepted: int) -> None:
        """Nothing is learned."""

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence."""
        self._drafter.release(sequence)


def _measured(decoder: TextDecoder, drafter: Drafter, model: Model, most: int) -> float:
    """What one guessed token adds to a step, as a share of a step without any."""
    length = PROMPT + (ROUNDS + 1) * (most + 2)
    if length > model.max_length:
        return UNKNOWN_COST
    text = DecoderSequence(Tokens((0,) * PROMPT), Sampling(max_new_tokens=length - PROMPT))
    known = decoder.begin(text)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    try:
        fine = _stepped(decoder, Span(text, PROMPT - known))
        for _ in range(ROUNDS + 1):
            for guesses in seconds:
                decoder.drafts = _Always(drafter, most) if guesses else None
                begun = time.perf_counter()
                fine = fine and _stepped(decoder, Span(text, 1))
                seconds[guesses].append(time.perf_counter() - begun)
    finally:
        decoder.drafts = None
        decoder.release(text)
        drafter.release(text)
        decoder.forget_adapter("")
    if not fine:
        return UNKNOWN_COST
    without, with_guesses = (min(seconds[guesses][1:]) for guesses in (False, True))
    return max(0.01, (with_guesses / without - 1) / most)


def _stepped(decoder: TextDecoder, span: Span) -> bool:
    return isinstance(decoder.step([span])[0], Progress)
