"""Generated text over gRPC, held against transformers' own `generate` on each prompt alone."""

import asyncio
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lepton.v1 import generation_pb2
from lepton_testing.hosted import Host, Served
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

DECODERS = ["llama", "llama-bytes", "qwen2", "mistral", "gpt2"]
PROMPTS = [*SENTENCES[:6], "A", SENTENCES[33], " ".join(SENTENCES[6:9])]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A stream as a whole."""

    text: str
    ids: list[int]
    reason: int
    events: list[generation_pb2.GenerateEvent]


def joined(events: Iterable[generation_pb2.GenerateEvent]) -> Answer:
    whole = list(events)
    return Answer(
        "".join(event.delta.text for event in whole),
        [token for event in whole for token in event.delta.token_ids],
        whole[-1].finish.reason,
        whole,
    )


def ask(served: Served, prompt: str | Sequence[int], **sampling: Any) -> Answer:
    request = generation_pb2.GenerateRequest(sampling=generation_pb2.Sampling(**sampling))
    if isinstance(prompt, str):
        request.text = prompt
    else:
        request.tokens.ids.extend(prompt)
    return joined(served.generation.Generate(request, timeout=60))


@functools.cache
def loaded(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model, by transformers."""
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)


def expected(folder: Path, prompt: str | Sequence[int], length: int) -> tuple[list[int], str]:
    """Greedy tokens by transformers, and their text without special tokens."""
    tokenizer, model = loaded(folder)
    ids = tokenizer(prompt).input_ids if isinstance(prompt, str) else list(prompt)
    with torch.inference_mode():
        whole = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones((1, len(ids)), dtype=torch.long),
            max_new_tokens=length,
            do_sample=False,
        )
    made = whole[0, len(ids) :].tolist()
    return made, tokenizer.decode(
        made, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


@pytest.mark.parametrize("sample", DECODERS)
async def test_greedy_tokens_equal_transformers_in_company_too(
    host: Host, samples: Path, sample: str
) -> None:
    served = host.serve(source=str(samples / sample), max_batch_size=4)
    answers = await asyncio.gather(
        *(
            asyncio.to_thread(ask, served, prompt, max_new_tokens=20 + 4 * number)
            for number, prompt in enumerate(PROMPTS)
        )
    )
    for number, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        ids, text = expected(samples / sample, prompt, 20 + 4 * number)
        assert answer.ids == ids
        assert answer.text == text
        ended = ids[-1] == loaded(samples / sample)[0].eos_token_id
        wanted = generation_pb2.FINISH_REASON_STOP if ended else generation_pb2.FINISH_REASON_LENGTH
        assert answer.reason == wanted


@pytest.mark.parametrize("sample", DECODERS)
def test_streams_never_break_a_character(host: Host, samples: Path, sample: str) -> None:
    folder = samples / sample
    served = host.serve(source=str(folder), max_batch_size=4)
    tokenizer, _ = loaded(folder)
    broken = "\N{REPLACEMENT CHARACTER}"
    for seed in range(6):
        answer = ask(served, "Le", max_new_tokens=120, temperature=1.5, seed=seed, ignore_eos=True)
        assert len(answer.ids) == 120
        whole = tokenizer.decode(
            answer.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert answer.text == whole
        # What is broken in the stream is broken in the whole: no piece ends within a character.
        assert sum(event.delta.text.count(broken) for event in answer.events) == whole.count(broken)


def test_the_order_of_events(host: Host, samples: Path) -> None:
    served = host.serve(source=str(samples / "llama"), max_batch_size=4)
    answer = ask(served, "The harbour", max_new_tokens=5)
    kinds = [event.WhichOneof("event") for event in answer.events]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "finish"
    assert set(kinds[1:-1]) == {"delta"}
    finish = answer.events[-1].finish
    prompt = loaded(samples / "llama")[0]("The harbour").input_ids
    assert (finish.usage.prompt_tokens, finish.usage.output_tokens) == (len(prompt), 5)
    assert finish.timing.total.ToNanoseconds() >= finish.timing.first.ToNanoseconds() > 0


def test_token_ids_are_used_as_they_are(host: Host, samples: Path) -> None:
    folder = samples / "qwen2"
    served = host.serve(source=str(folder), max_batch_size=4)
    prompt = [17, 300, 301, 5, 599]
    answer = ask(served, prompt, max_new_tokens=12)
    assert answer.ids == expected(folder, prompt, 12)[0]


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}], ids=str)
def test_sampling_from_one_token_is_greedy(
    host: Host, samples: Path, narrow: dict[str, Any]
) -> None:
    served = host.serve(source=str(samples / "llama"), max_batch_size=4)
    greedy = ask(served, PROMPTS[1], max_new_tokens=20, temperature=0)
    sampled = ask(served, PROMPTS[1], max_new_tokens=20, **{"temperature": 1.0, **narrow})
    assert sampled.ids == greedy.ids


def test_a_stop_string_ends_the_text_before_it(host: Host, samples: Path) -> None:
    served = host.serve(source=str(samples / "llama"), max_batch_size=4)
    whole = ask(served, PROMPTS[2], max_new_tokens=30, ignore_eos=True).text
    middle = len(whole) // 2
    stop = whole[middle : middle + 3]
    answer = ask(served, PROMPTS[2], max_new_tokens=30, ignore_eos=True, stop=["never", stop])
    assert answer.text == whole[: whole.index(stop)]
    assert answer.reason == generation_pb2.FINISH_REASON_STOP


def with_generation_config(folder: Path, copy: Path, **fields: Any) -> Path:
    """The sample with a generation config of its own."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    for name, value in fields.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(copy)
    AutoTokenizer.from_pretrained(folder).save_pretrained(copy)
    return copy


def test_the_models_own_config_changes_logits_and_ends(
    host: Host, samples: Path, tmp_path: Path
) -> None:
    plain = ask(host.serve(source=str(samples / "llama"), max_batch_size=4), PROMPTS[3]).ids
    copy = with_generation_config(
        samples / "llama",
        tmp_path / "own",
        repetition_penalty=1.3,
        no_repeat_ngram_size=2,
        suppress_tokens=[plain[0]],
        eos_token_id=[0, plain[9]],
        max_new_tokens=25,
    )
    served = host.serve(source=str(copy))
    for prompt in PROMPTS[:6]:
        answer = ask(served, prompt)
        assert answer.ids == expected(copy, prompt, 25)[0]
        assert plain[0] not in answer.ids


def test_prompt_and_answer_fill_the_model_to_its_end(host: Host, samples: Path) -> None:
    folder = samples / "gpt2"
    served = host.serve(source=str(folder), max_batch_size=4)
    prompt = [5] * 250
    answer = ask(served, prompt, ignore_eos=True)
    assert len(answer.ids) == 6
    assert answer.reason == generation_pb2.FINISH_REASON_LENGTH
    assert answer.ids == expected(folder, prompt, 6)[0]
