"""vLLM's synchronous engine behind our protocol: one of its steps is one of ours.

Our engine's process is vLLM's too: what runs in it is its `LLMEngine` with the core in the same
process, so that front and engine are divided as vLLM itself divides them. Texts that were begun are
vLLM's to schedule, by their priority; see docs/adr/0009.
"""

import logging
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch

from lepton_worker.backends.base import (
    AdapterFacts,
    DecoderSequence,
    EncodeInput,
    LoadOrder,
    Progress,
    Span,
    Written,
)
from lepton_worker.backends.transformers.failures import load_failures
from lepton_worker.backends.vllm.choice import check_order, refusal
from lepton_worker.backends.vllm.facts import defaults_of, model_of
from lepton_worker.backends.vllm.library import Library
from lepton_worker.backends.vllm.outputs import News, news
from lepton_worker.backends.vllm.weights import check_weights
from lepton_worker.errors import (
    DeviceLost,
    InternalError,
    InvalidRequest,
    InvalidSetting,
    RequestError,
    TaskNotSupported,
    Violation,
    WeightsCorrupt,
)
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Sampling, TokenLogprob, Tokens, Vector
from lepton_worker.source.folder import read_config

log = logging.getLogger(__name__)

NO_ADAPTERS = "the backend vllm takes no adapters; the backend native does"
TRIAL_STEPS = 64
EMPTY_STEPS = 2
"""Steps without an output that vLLM needs to fill its pipeline. Behind them it waits for something
else, such as a grammar that a thread compiles, and has no way of telling when that is done."""
PAUSE_SECONDS = 0.001


@dataclass
class Text:
    """A sequence inside vLLM, and what it has written that nobody has asked for yet."""

    number: str
    pending: deque[Written] = field(default_factory=deque)
    prompt: tuple[TokenLogprob, ...] = ()
    cached: int = 0
    reason: str = ""


class VllmBackend:
    """Decoders on vLLM."""

    def __init__(self) -> None:
        self._library: Library | None = None
        self._engine: Any = None
        self._defaults = GenerationDefaults()
        self._texts: dict[DecoderSequence, Text] = {}
        self._by_number: dict[str, tuple[DecoderSequence, Text]] = {}
        self._numbers = count()
        self._empty = 0

    def load(self, order: LoadOrder) -> Model:
        """Start vLLM on a folder; raises LoadError."""
        with load_failures(order.folder):
            library = Library()
            gpu = torch.cuda.is_available()
            device = check_order(
                order.task, order.device, order.quantization, gpu=gpu, cpu_build=library.for_cpu
            )
            self._defaults = defaults_of(order.folder)
            architecture = str((read_config(order.folder).get("architectures") or [""])[0])
            reason = refusal(architecture, library.architectures, self._defaults)
            if reason:
                raise TaskNotSupported(f"{reason}; backend auto serves such a model")
            check_weights(order.folder)
            self._library = library
            self._engine = library.start(order, device, secrets.randbits(31))
            return model_of(order, self._engine.vllm_config, device, library.version)

    def warm_up(self) -> None:
        """Read one token and write one."""
        trial = DecoderSequence(Tokens((0,)), Sampling(max_new_tokens=1))
        self.begin(trial)
        for _ in range(TRIAL_STEPS):
            [progress] = self.step([Span(trial, 1)])
            if isinstance(progress, RequestError):
                raise WeightsCorrupt(f"vLLM does not answer a trial: {progress}")
            if progress.token is not None:
                self.release(trial)
                return
        raise WeightsCorrupt(f"vLLM does not answer a trial within {TRIAL_STEPS} steps")

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """Not offered here."""
        raise InternalError("encode on a model that generates")

    def begin(self, sequence: DecoderSequence) -> int:
        """Hand a sequence to vLLM; one that was put aside has gone on there.

        vLLM tells only with the first token what it had of the text already.
        """
        assert self._library is not None, "begin without a model"
        if sequence in self._texts:
            return len(sequence.ids) - 1
        number = str(next(self._numbers))
        suppressed = self._defaults.suppressed
        try:
            parameters = self._library.parameters(sequence.sampling, suppressed)
            prompt = self._library.prompt(sequence.ids)
            self._engine.add_request(number, prompt, parameters, priority=sequence.priority)
        except self._library.refusals as error:
            raise InvalidRequest([Violation("sampling", f"vLLM refuses it: {error}")]) from error
        text = Text(number)
        self._texts[sequence] = text
        self._by_number[number] = sequence, text
        return 0

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """Let vLLM go on by a step of its own, unless all of the texts have tokens in store."""
        known = [self._texts.get(span.sequence) for span in spans]
        if any(text is not None and not text.pending and not text.reason for text in known):
            self._advance()
        return [self._progress(*pair) for pair in zip(spans, known, strict=True)]

    def _advance(self) -> None:
        try:
            outputs = self._engine.step()
        except Exception as error:
            log.exception("vLLM failed")
            raise DeviceLost("vLLM failed; a new engine starts") from error
        self._empty = 0 if outputs else self._empty + 1
        if self._empty > EMPTY_STEPS:
            time.sleep(PAUSE_SECONDS)
        for output in outputs:
            if output.request_id in self._by_number:
                sequence, text = self._by_number[output.request_id]
                _take(text, news(output, sequence.sampling.logprobs))

    def _progress(self, span: Span, text: Text | None) -> Progress | RequestError:
        if text is None:
            return InternalError("a step for a text that was not begun")
        sequence, read_only = span.sequence, span.sequence.sampling.max_new_tokens == 0
        if not text.pending:
            if text.reason:
                return InternalError(f"vLLM ended this text without a token ({text.reason})")
            return Progress(None, computed=0)
        written = text.pending.popleft()
        prompt, text.prompt = text.prompt, ()
        if read_only:
            return Progress(None, prompt=prompt, cached=text.cached)
        sequence.ids.append(written.token)
        ended = text.reason == "stop" and not text.pending
        return Progress(written.token, written.logprob, ended, prompt, cached=text.cached)

    def evict(self, sequence: DecoderSequence) -> None:
        """Put aside: vLLM goes on with it as its priority allows, and takes its room if need be.

        Its random numbers and its place in a grammar could not be had back.
        """

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; vLLM ends it within its next step."""
        text = self._texts.pop(sequence, None)
        if text is not None:
            del self._by_number[text.number]
            if not text.reason:
                self._engine.abort_request([text.number])

    def load_adapter(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Not offered here."""
        raise InvalidSetting(NO_ADAPTERS)

    def unload_adapter(self, name: str) -> None:
        """There is none."""

    def close(self) -> None:
        """End vLLM."""
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None


def _take(text: Text, said: News) -> None:
    text.pending += said.written
    text.prompt += said.prompt
    text.cached = max(text.cached, said.cached)
    text.reason = said.reason
