"""Our own engine over transformers' modules, with stock transformers where that does not fit."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from lepton_worker.backends.base import (
    AdapterFacts,
    DecoderSequence,
    EncodeInput,
    LoadOrder,
    Progress,
    Span,
)
from lepton_worker.backends.linears.install import Installed, install_linears
from lepton_worker.backends.linears.later_half import Packing
from lepton_worker.backends.linears.lora import Adapters
from lepton_worker.backends.native import decoder_parity, seq2seq_parity
from lepton_worker.backends.native.decoder import SlotDecoder, TextDecoder
from lepton_worker.backends.native.grouped import GroupedEncoder
from lepton_worker.backends.native.memory import cache_tokens
from lepton_worker.backends.native.paged.choose import choose_paging, memory_of
from lepton_worker.backends.native.paged.decoder import PagedDecoder, Paging
from lepton_worker.backends.native.parity import choose_encoder
from lepton_worker.backends.native.seq2seq import SideBySide
from lepton_worker.backends.native.seq2seq_cache import HELD
from lepton_worker.backends.native.slots import bytes_per_token
from lepton_worker.backends.native.speculation import load_assistant, open_drafts
from lepton_worker.backends.sampling.constraints import Constraints
from lepton_worker.backends.sampling.sampler import Sampler
from lepton_worker.backends.transformers.backend import TransformersBackend
from lepton_worker.backends.transformers.failures import NOT_FINITE, load_failures
from lepton_worker.backends.transformers.loading import (
    Loaded,
    choose_device,
    load_model,
    stored_dtype,
)
from lepton_worker.backends.transformers.seq2seq_facts import beams, beginning, most_beams
from lepton_worker.errors import InvalidSetting, RequestError, TaskNotSupported, WeightsCorrupt
from lepton_worker.limits import resident_bytes
from lepton_worker.model import Model, Verdicts
from lepton_worker.request import Sampling, Task, Tokens, Vector

ROUNDED = 2e-2
"""Largest difference between packed and single inputs where kernels round activations."""

DECODE_STEP_TOKENS = 512
"""Tokens of prompts in one step when no text goes on; longer steps would not be faster on a CPU."""


class NativeBackend:
    """One packed forward a step, for encoders and decoders.

    With `strict`, a model that needs stock transformers is refused instead of served by it.
    """

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._stock: TransformersBackend | None = None
        self._encoder: GroupedEncoder | None = None
        self._decoder: TextDecoder | SideBySide | None = None
        self._adapters: Adapters | None = None
        self._packing = Packing(())
        self._reads: Constraints | None = None

    def load(self, order: LoadOrder) -> Model:
        """Load a folder in `save_pretrained` format, and choose how it runs best here."""
        torch.set_num_threads(order.threads)
        with load_failures(order.folder):
            loaded = load_model(order)
            choices = {"threads": f"{order.threads}: the CPU that this worker may use"}
            if order.task is Task.GENERATE:
                facts = self._open_decoder(loaded, order, choices)
            else:
                facts = self._open_encoder(loaded, order, choices)
        return dataclasses.replace(facts, choices=choices)

    def _open_encoder(self, loaded: Loaded, order: LoadOrder, choices: dict[str, str]) -> Model:
        pooling = order.pooling if order.task is Task.EMBED else None
        done = self._quantized(loaded, order, choices)
        # Kernels that round activations turn the last bits of a sum into a whole step now and then.
        tolerance = ROUNDED if done.kind in ("int8", "bfloat16") else None
        encoder, choices["batches"] = choose_encoder(loaded, pooling, order, tolerance)
        choices["backend"] = "native: runs every encoder"
        self._adapters = Adapters(loaded.module)
        encoder.begin_segments = self._adapters.begin_segments
        self._encoder = encoder
        # Measured, not assumed: the best number of tokens in a step depends on caches and threads.
        budget = order.step_tokens or encoder.tune_budget()
        choices["step_tokens"] = f"{budget}: the fastest of those tried"
        return dataclasses.replace(loaded.facts, backend="native", step_tokens=budget)

    def _open_decoder(self, loaded: Loaded, order: LoadOrder, choices: dict[str, str]) -> Model:
        if loaded.facts.encoder_decoder:
            return self._open_encoder_decoder(loaded, order, choices)
        paging, kept = choose_paging(loaded, order.kv)
        known = paging or order.verdicts.packed
        refusal = None if known else decoder_parity.check(loaded)
        if refusal is not None:
            return self._open_stock(loaded, order, choices, refusal)
        choices["kv"] = kept
        choices["backend"] = "native: gives the same logits as stock transformers"
        # The cost of guesses is measured at load, by the kernels that will be used.
        done = self._quantized(loaded, order, choices, order.speculation.method == "none")
        self._packing = Packing(loaded.module.modules())
        facts = loaded.facts
        assistant = load_assistant(order, facts)
        size = sum(
            bytes_per_token(item.module.config, item.module.dtype)
            for item in (loaded, assistant)
            if item is not None
        )
        tokens = self._room(order, size, facts.max_length, choices)
        decoder = self._decoder = self._over(paging, loaded, order, tokens, choices)
        decoder.drafts, choices["speculation"] = open_drafts(
            decoder, facts, order, assistant, tokens
        )
        timings = {kind: dict(seconds) for kind, seconds in done.timings.items()}
        verdicts = Verdicts(packed=paging is None, timings=timings)
        return dataclasses.replace(self._decoding(facts, order, tokens), verdicts=verdicts)

    def _over(
        self,
        paging: Paging | None,
        loaded: Loaded,
        order: LoadOrder,
        tokens: int,
        choices: dict[str, str],
    ) -> TextDecoder:
        """A decoder over pages, or over slots."""
        facts = loaded.facts
        sampler = Sampler(facts.defaults, facts.vocabulary, self._constraints(facts, choices))
        self._adapters = Adapters(loaded.module)
        begin = self._adapters.begin_segments
        if paging is None:
            return SlotDecoder(loaded, order.slots, tokens, sampler, begin)
        graphs = order.cuda_graphs == "auto"
        decoder = PagedDecoder(loaded, order.slots, tokens, sampler, paging, begin, graphs)
        choices["cuda_graphs"] = decoder.graphs
        return decoder

    def _open_encoder_decoder(
        self, loaded: Loaded, order: LoadOrder, choices: dict[str, str]
    ) -> Model:
        choices["beams"] = beams(loaded.facts)
        refusal = seq2seq_parity.check(loaded)
        if refusal is not None:
            return self._open_stock(loaded, order, choices, refusal)
        choices["speculation"] = "none: not for models with an encoder"
        choices["backend"] = "native: texts side by side have the same logits as each alone"
        self._quantized(loaded, order, choices)
        size, facts = HELD * seq2seq_parity.bytes_per_token(loaded), loaded.facts
        slots = max(order.slots, most_beams(facts))
        wide = dataclasses.replace(order, slots=slots)
        tokens = self._room(wide, size, 2 * facts.max_length, choices)
        begun = beginning(loaded.module, facts).tokens
        constraints = self._constraints(facts, choices)
        sampler = Sampler(facts.defaults, facts.vocabulary, constraints, begun)
        self._decoder = SideBySide(loaded, tokens, sampler)
        return self._decoding(facts, order, tokens)

    def _room(self, order: LoadOrder, size: int, longest: int, choices: dict[str, str]) -> int:
        """Tokens of `size` bytes that may have state, for texts of at most `longest`."""
        device = choose_device(order.device)

        def fitting() -> int:
            limit, held = memory_of(device, order.memory, resident_bytes())
            return cache_tokens(limit, held, size, order.slots, longest)

        tokens = fitting()
        if tokens < order.slots * longest:
            # What packing gives back is wanted for the state of texts.
            self._packing.finish()
            tokens = fitting()
        choices["cache_tokens"] = f"{tokens}: {size} bytes each within the memory limit"
        return tokens

    def _decoding(self, facts: Model, order: LoadOrder, tokens: int) -> Model:
        """What is known of a model that generates on this backend."""
        step = order.step_tokens or DECODE_STEP_TOKENS
        return dataclasses.replace(
            facts, backend="native", slots=order.slots, cache_tokens=tokens, step_tokens=step
        )

    def _open_stock(
        self, loaded: Loaded, order: LoadOrder, choices: dict[str, str], refusal: str
    ) -> Model:
        if self._strict:
            raise TaskNotSupported(
                f"{loaded.facts.architecture} does not run on the backend native: {refusal}. "
                "The backends auto and transformers serve it"
            )
        choices["backend"] = f"transformers: {refusal}"
        choices["speculation"] = "none: the backend native alone does it"
        self._stock = TransformersBackend()
        return self._stock.use(loaded, order)

    def _quantized(
        self, loaded: Loaded, order: LoadOrder, choices: dict[str, str], later: bool = False
    ) -> Installed:
        """Replace linear layers as asked for, before anybody looks at them."""
        stored = stored_dtype(order.folder) or loaded.facts.dtype
        timings = order.verdicts.timings
        asked, task = order.quantization, order.task
        done = install_linears(loaded.module, asked, task, stored, later, timings)
        choices["quantization"] = f"{done.kind}: {done.reason}"
        return done

    def _constraints(self, facts: Model, choices: dict[str, str]) -> Constraints | None:
        rust = getattr(facts.tokenizer, "rust", None)
        if rust is None:
            return None
        try:
            self._reads = Constraints(rust, facts.vocabulary, facts.defaults.ends)
            return self._reads
        except TaskNotSupported as error:
            choices["constraints"] = f"none: {error.message}"
            return None

    def warm_up(self) -> None:
        """Answer a trial input; its answer has to be made of numbers."""
        if self._stock is not None:
            self._stock.warm_up()
            return
        trial = Tokens((0, 0))
        with load_failures(None):
            if self._encoder is not None:
                item = EncodeInput(self._encoder.trial(2))
                failed = isinstance(self.encode([item])[0], RequestError)
            else:
                failed = self._decode_trial(trial)
        if failed:
            raise WeightsCorrupt(NOT_FINITE)

    def _decode_trial(self, trial: Tokens) -> bool:
        assert self._decoder is not None
        sequence = DecoderSequence(trial, Sampling(max_new_tokens=2))
        begun = self._decoder.begin(sequence)
        spans = [Span(sequence, len(trial) - begun), Span(sequence, 1)]
        outcomes = [self._decoder.step([span])[0] for span in spans]
        self._decoder.release(sequence)
        return any(isinstance(outcome, RequestError) for outcome in outcomes)

    # -------------------------------------------------------------- work
    def go_on(self) -> bool:
        """Pack one more layer, and at last read the vocabulary for constraints."""
        if self._packing.go_on():
            return True
        if self._reads is not None:
            # Where it cannot be read, whoever asks for a constraint is told so.
            with contextlib.suppress(TaskNotSupported):
                self._reads.prepare()
        return False

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """All in packed rows, or in padded groups."""
        assert self._encoder is not None, "encode on a model that generates"
        return self._encoder.encode(inputs)

    def begin(self, sequence: DecoderSequence) -> int:
        """A slot, or a cache of its own."""
        return self._texts.begin(sequence)

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """All in one packed row, or one after the other."""
        return self._texts.step(spans)

    def evict(self, sequence: DecoderSequence) -> None:
        """Take the slot back."""
        self._texts.evict(sequence)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget the sequence."""
        self._texts.release(sequence)

    @property
    def _texts(self) -> TextDecoder | SideBySide | TransformersBackend:
        texts = self._stock or self._decoder
        assert texts is not None, "a text for a model that encodes"
        return texts

    # -------------------------------------------------------------- adapters
    def load_adapter(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Put an adapter beside the weights."""
        if self._adapters is None:
            if self._stock is None:
                raise InvalidSetting("encoder-decoder models take no adapters")
            raise InvalidSetting("this model runs on stock transformers, which takes no adapters")
        with load_failures(folder):
            facts = self._adapters.load(name, folder, source)
        self._forget(name)
        return facts

    def unload_adapter(self, name: str) -> None:
        """Take it away."""
        if self._adapters is not None:
            self._adapters.unload(name)
            self._forget(name)

    def _forget(self, name: str) -> None:
        """Use no state again that an adapter of this name computed with other weights."""
        if isinstance(self._decoder, TextDecoder):
            self._decoder.forget_adapter(name)

    def close(self) -> None:
        """Drop the model."""
        self._encoder = self._decoder = self._stock = self._adapters = None
