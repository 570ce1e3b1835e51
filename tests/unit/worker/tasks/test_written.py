"""Summaries, translations and scores: what is asked of which model, and what is cut."""

import dataclasses
import math
from typing import Any

import pytest

from lepton_worker.backends.echo import ByteTokenizer
from lepton_worker.errors import ContextLengthExceeded, InvalidRequest, TaskNotServed
from lepton_worker.model import Frame, GenerationDefaults, Model, Tokenized
from lepton_worker.request import Beams, TokenLogprob, Tokens
from lepton_worker.tasks.written import (
    Length,
    Order,
    Score,
    part_jobs,
    score,
    scored_job,
    searched,
    summary,
    translation,
    written_job,
)

EN, FR, DE, END = 200, 201, 202, 256
LANGUAGES = {"en": EN, "fr": FR, "de": DE}
CHAT = "<{{ messages[0].content }}>"


class MarkedTokenizer(ByteTokenizer):
    """Marks each text as English in front and with its end behind."""

    def encode(self, texts: Any, cut_at: int | None = None) -> list[Tokenized]:
        inner = super().encode(texts, None if cut_at is None else cut_at - 2)
        return [Tokenized(Tokens((EN, *item.tokens.ids, END)), item.truncated) for item in inner]

    def frame(self, pair: bool = False) -> Frame:
        return Frame(front=((EN, 0),), back=((END, 0),))


@pytest.fixture
def chat_model(echo_model: Model) -> Model:
    return dataclasses.replace(echo_model, chat_template=CHAT, max_length=400)


@pytest.fixture
def seq2seq(echo_model: Model) -> Model:
    return dataclasses.replace(echo_model, encoder_decoder=True, defaults=GenerationDefaults())


def test_a_chat_model_is_asked_in_words(chat_model: Model) -> None:
    order = summary(chat_model, 90)
    assert order.chat
    assert "at most 60 words" in order.front
    assert "briefly" in summary(chat_model, 0).front
    assert "from German into French" in translation(chat_model, "German", "French").front
    assert "below into French." in translation(chat_model, "", "French").front
    with pytest.raises(InvalidRequest, match="target_language: must name"):
        translation(chat_model, "German", "")


@pytest.mark.parametrize("order", [lambda m: summary(m, 0), lambda m: translation(m, "", "fr")])
def test_other_models_do_not_write(echo_model: Model, order: Any) -> None:
    with pytest.raises(TaskNotServed, match=r"chat template.*call Generate"):
        order(echo_model)


def test_a_models_own_prefix_goes_in_front(seq2seq: Model) -> None:
    prompts = {
        "summarization": "summarize: ",
        "translation_en_to_de": "translate English to German: ",
        "translation_en_to_fr": "translate English to French: ",
    }
    model = dataclasses.replace(seq2seq, prompts=prompts)
    assert summary(model, 0).front == "summarize: "
    assert translation(model, "en", "fr") == Order("translate English to French: ")
    with pytest.raises(InvalidRequest, match="one of en_to_de, en_to_fr"):
        translation(model, "fr", "en")


def test_languages_become_tokens(seq2seq: Model) -> None:
    model = dataclasses.replace(seq2seq, languages=LANGUAGES)
    assert translation(model, "de", "fr") == Order(source=DE, forced=(FR,))
    assert translation(model, "", "fr") == Order(forced=(FR,))


@pytest.mark.parametrize(
    ("source", "target", "fields"),
    [
        ("en", "", ["target_language"]),
        ("xx", "en", ["source_language"]),
        ("xx", "yy", ["source_language", "target_language"]),
    ],
)
def test_unknown_languages(seq2seq: Model, source: str, target: str, fields: list[str]) -> None:
    model = dataclasses.replace(seq2seq, languages=LANGUAGES)
    with pytest.raises(InvalidRequest, match="language of the model: de, en, fr") as caught:
        translation(model, source, target)
    assert [item.field for item in caught.value.violations] == fields


def test_many_languages_are_not_all_listed(seq2seq: Model) -> None:
    model = dataclasses.replace(seq2seq, languages={f"l{n:02}": n for n in range(20)})
    with pytest.raises(InvalidRequest, match=r"l00, .*, l07 and 12 more"):
        translation(model, "", "x")


def test_one_direction_takes_no_language(seq2seq: Model) -> None:
    assert translation(seq2seq, "", "") == Order()
    with pytest.raises(InvalidRequest, match="one direction") as caught:
        translation(seq2seq, "en", "fr")
    fields = [item.field for item in caught.value.violations]
    assert fields == ["source_language", "target_language"]


def job(model: Model, order: Order, text: str, truncate: bool = False, **length: Any) -> Any:
    return written_job(model, order, text, Length(**length), truncate, "inputs[0]")


def test_an_encoder_decoder_reads_prefix_and_text(seq2seq: Model) -> None:
    prepared = job(seq2seq, Order("sum: ", usual_tokens=20), "abc")
    assert prepared.job.prompt.ids == tuple(b"sum: abc")
    assert not prepared.truncated
    sampling = prepared.job.sampling
    assert (sampling.max_new_tokens, sampling.temperature, sampling.forced) == (20, 0.0, ())


def test_the_language_of_a_text_is_marked_only_around_it(seq2seq: Model) -> None:
    model = dataclasses.replace(seq2seq, tokenizer=MarkedTokenizer(), languages=LANGUAGES)
    prepared = job(model, Order(source=DE, forced=(FR,)), "aÈ")
    # È is the byte 200 behind another one: in the text it marks no language.
    assert prepared.job.prompt.ids == (DE, 97, 0xC3, 0x88, END)
    assert prepared.job.sampling.forced == (FR,)
    assert job(model, Order(), "a").job.prompt.ids == (EN, 97, END)
    marked = Tokens((EN, EN, END))
    model = dataclasses.replace(model, tokenizer=Fixed(marked))
    assert job(model, Order(source=DE), "x").job.prompt.ids == (DE, EN, END)


class Fixed(MarkedTokenizer):
    """Any text is these tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def encode(self, texts: Any, cut_at: int | None = None) -> list[Tokenized]:
        return [Tokenized(self._tokens) for _ in texts]


@pytest.mark.parametrize(
    ("declared", "usual", "length", "expected"),
    [
        (None, 20, {}, (20, 0)),
        (30, 20, {}, (30, 0)),
        (None, None, {}, (22, 0)),  # twice the text's three tokens and sixteen
        (None, 20, {"least": 25}, (25, 25)),
        (None, 20, {"most": 9, "least": 5}, (9, 5)),
        (500, 20, {}, (64, 0)),
    ],
)
def test_lengths(
    seq2seq: Model,
    declared: int | None,
    usual: int | None,
    length: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    model = dataclasses.replace(seq2seq, defaults=GenerationDefaults(max_new_tokens=declared))
    sampling = job(model, Order(usual_tokens=usual), "abc", **length).job.sampling
    assert (sampling.max_new_tokens, sampling.min_new_tokens) == expected


def test_answers_are_greedy_whatever_the_model_says(seq2seq: Model) -> None:
    model = dataclasses.replace(seq2seq, defaults=GenerationDefaults(temperature=0.7))
    assert job(model, Order(), "abc").job.sampling.temperature == 0.0


def test_a_long_text_is_refused_or_cut(seq2seq: Model) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        job(seq2seq, Order(), "x" * 65)
    assert caught.value.violations[0].field == "inputs[0]"
    prepared = job(seq2seq, Order(), "x" * 100_000, truncate=True)
    assert prepared.truncated
    assert len(prepared.job.prompt) == 64


def test_a_chat_model_loses_the_end_of_the_text_and_not_the_question(chat_model: Model) -> None:
    order = Order("Shorten this: ", chat=True, usual_tokens=20)
    whole = job(chat_model, order, "abc", truncate=True, most=50)
    assert bytes(whole.job.prompt.ids) == b"<Shorten this: abc>"
    assert not whole.truncated
    for text in ("x" * 1000, "x" * 100_000, "é" * 300):
        cut = job(chat_model, order, text, truncate=True, most=50)
        assert cut.truncated
        assert 348 <= len(cut.job.prompt) <= 350
        written = bytes(cut.job.prompt.ids).decode()
        assert written.startswith(f"<Shorten this: {text[:9]}")
        assert written.endswith(f"{text[0]}>")
    with pytest.raises(ContextLengthExceeded) as caught:
        job(chat_model, order, "x" * 1000, most=50)
    assert caught.value.violations[0].field == "inputs[0]"
    with pytest.raises(ContextLengthExceeded, match="leaves no room"):
        job(chat_model, order, "x" * 1000, truncate=True, most=390)


SENTENCES = "".join(f"This is sentence number {number}. " for number in range(40))


def whole(prepared: list[Any], front: str, back: str) -> str:
    """What the prompts of parts have of the text."""
    prompts = [bytes(item.job.prompt.ids).decode() for item in prepared]
    assert all(text.startswith(front) and text.endswith(back) for text in prompts)
    return "".join(text[len(front) : len(text) - len(back)] for text in prompts)


def test_a_long_text_is_read_in_parts(chat_model: Model, seq2seq: Model) -> None:
    order = Order("Shorten: ", chat=True, usual_tokens=20)
    found = part_jobs(chat_model, order, SENTENCES, Length(most=50), "inputs[0]")
    assert whole(found, "<Shorten: ", ">") == SENTENCES
    assert len(found) > 2
    assert all(len(item.job.prompt) + 50 <= 400 for item in found)
    assert all(item.behind == " " for item in found)
    # A translation is as long as its text.
    found = part_jobs(chat_model, Order("To X: ", chat=True), SENTENCES, Length(), "inputs[0]")
    assert whole(found, "<To X: ", ">") == SENTENCES
    assert all(item.job.sampling.max_new_tokens >= len(item.job.prompt) for item in found)
    found = part_jobs(seq2seq, Order("sum: "), SENTENCES, Length(), "inputs[0]")
    assert whole(found, "sum: ", "") == SENTENCES
    assert all(len(item.job.prompt) <= 64 for item in found)


def test_a_short_text_is_one_part(seq2seq: Model) -> None:
    found = part_jobs(seq2seq, Order(), "One. Two.", Length(), "inputs[0]")
    assert [item.job.prompt.ids for item in found] == [tuple(b"One. Two.")]


@pytest.mark.parametrize(
    ("text", "length", "words"),
    [
        (SENTENCES, Length(most=390), "leaves no room"),
        ("x " * 60_000, Length(most=50), "at most 256 are read"),
        ("x" * 4_000_001, Length(most=50), "more than 4000000 characters"),
    ],
)
def test_parts_have_bounds(chat_model: Model, text: str, length: Length, words: str) -> None:
    with pytest.raises(ContextLengthExceeded, match=words) as caught:
        part_jobs(chat_model, Order("Shorten: ", chat=True), text, length, "inputs[0]")
    assert caught.value.violations[0].field == "inputs[0]"


def test_a_text_to_be_scored(echo_model: Model) -> None:
    prepared = scored_job(echo_model, "abc", False, "inputs[0]")
    assert prepared.job.prompt.ids == tuple(b"abc")
    assert prepared.job.sampling.prompt_logprobs
    assert prepared.job.sampling.max_new_tokens == 0
    with pytest.raises(InvalidRequest, match=r"inputs\[1\]: has a single token"):
        scored_job(echo_model, "a", False, "inputs[1]")
    with pytest.raises(ContextLengthExceeded):
        scored_job(echo_model, "a" * 65, False, "inputs[0]")
    cut = scored_job(echo_model, "a" * 65, True, "inputs[0]")
    assert (len(cut.job.prompt), cut.truncated) == (64, True)


def test_scores() -> None:
    known = [TokenLogprob(1, math.log(0.5)), TokenLogprob(2, math.log(0.125))]
    found = score(known)
    assert found.logprob == pytest.approx(math.log(1 / 16))
    assert found.perplexity == pytest.approx(4)
    assert score([TokenLogprob(1, -1000.0)]) == Score(-1000.0, math.inf)


@pytest.mark.parametrize(("asked", "count"), [(0, 4), (1, 1), (16, 16)])
def test_beams_as_asked_or_as_the_model_has_them(seq2seq: Model, asked: int, count: int) -> None:
    own = GenerationDefaults(beams=Beams(4, 2.0, True, (END,)))
    model = dataclasses.replace(seq2seq, defaults=own)
    order = searched(model, summary(model, 0), asked)
    found = job(model, order, "abc").job.sampling.beams
    assert found == Beams(count, 2.0, True, (END,))
    assert job(model, summary(model, 0), "abc").job.sampling.beams.count == 1


@pytest.mark.parametrize("asked", [-1, 17])
def test_too_many_beams_are_refused(seq2seq: Model, chat_model: Model, asked: int) -> None:
    with pytest.raises(InvalidRequest, match=r"num_beams: must be 0 .* to 16"):
        searched(seq2seq, Order(), asked)
    with pytest.raises(InvalidRequest, match="num_beams: must be 0 or 1"):
        searched(chat_model, Order(chat=True), 2)
    assert searched(chat_model, Order(chat=True), 1).beams.count == 1


def test_what_a_model_says_of_one_task(seq2seq: Model) -> None:
    own = GenerationDefaults(beams=Beams(3), max_new_tokens=9, min_new_tokens=4, no_repeat_ngram=3)
    model = dataclasses.replace(
        seq2seq, prompts={"summarization": "sum: "}, task_defaults={"summarization": own}
    )
    sampling = job(model, searched(model, summary(model, 0), 0), "abc").job.sampling
    assert sampling.beams.count == 3
    assert (sampling.max_new_tokens, sampling.min_new_tokens) == (9, 4)
    assert sampling.no_repeat_ngram == 3
    assert job(model, translation(model, "", ""), "abc").job.sampling.no_repeat_ngram == 0
