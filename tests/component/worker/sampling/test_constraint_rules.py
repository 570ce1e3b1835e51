"""Ends, bans, interruptions and errors of texts under constraints, and what is kept of them."""

import pytest
import tokenizers
import torch

from lepton_testing.constrained import WIDTH, asked, finish, number_of, random_rows
from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.constraints import KEPT, Constraints
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.errors import InvalidRequest
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Constraint, Sampling, Tokens
from lepton_worker.samples import vocabularies

pytestmark = pytest.mark.component

JSON = Constraint("json_object")


def test_the_end_may_come_where_the_grammar_could_go_on(
    sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int
) -> None:
    letter = tokenizer.token_to_id("a")
    logits = torch.zeros(1, WIDTH)
    logits[0, end], logits[0, letter] = 9, 5
    sequence = asked(Constraint("regex", ("a+",)), end, temperature=0.0)
    for wanted, ended in ((letter, False), (end, True)):
        (choice,) = sampler.choose([sequence], logits)
        assert isinstance(choice, Choice)
        assert (choice.token, choice.ended) == (wanted, ended)
        sequence.ids.append(choice.token)


def test_without_ends_the_grammar_is_used_up(sampler: Sampler, end: int) -> None:
    """When the end of text is ignored, it is not chosen while something else may follow."""
    logits = torch.zeros(1, WIDTH)
    logits[0, end] = 9
    sequence = asked(Constraint("regex", ("a{2,5}",)), None, temperature=0.0)
    ended = False
    while not ended:
        (choice,) = sampler.choose([sequence], logits)
        assert isinstance(choice, Choice)
        assert choice.token != end
        sequence.ids.append(choice.token)
        ended = choice.ended
    assert vocabularies.byte_level().decode(sequence.ids[2:]) == "aaaaa"


def test_bans_give_way_to_a_grammar_that_leaves_nothing_else(
    sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int
) -> None:
    constraint = Constraint("regex", ("zzzzzzz",))
    batch = [asked(constraint, end, no_repeat_ngram=1, min_new_tokens=50)]
    (answer,) = finish(sampler, batch)
    assert tokenizer.decode(answer) == "zzzzzzz"


def test_bias_does_not_break_a_grammar(
    sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int
) -> None:
    wrong = tokenizer.token_to_id("q")
    (answer,) = finish(
        sampler, [asked(Constraint("regex", ("[ab]{6}",)), end, bias=((wrong, 100.0),))]
    )
    assert set(tokenizer.decode(answer)) <= {"a", "b"}


@pytest.mark.parametrize("lost", [False, True])
def test_an_interruption_changes_nothing(lost: bool, constraints: Constraints, end: int) -> None:
    """Whether the sampler still knows the text or finds it half done."""
    constraint = Constraint("regex", ("[a-f]{5,30}(x|y)[0-9]{9}",))
    found = [Sampler(GenerationDefaults(), WIDTH, constraints) for _ in range(2)]
    answers = []
    for interrupted, sampler in zip((False, True), found, strict=True):
        sequence, numbers = asked(constraint, end), torch.Generator().manual_seed(1)
        for step in range(100):
            if interrupted and step == 7:
                if lost:
                    sampler.release(sequence)
                else:
                    # A choice that was thrown away.
                    sampler.choose([sequence], random_rows(1, torch.Generator().manual_seed(99)))
            (choice,) = sampler.choose([sequence], random_rows(1, numbers))
            assert isinstance(choice, Choice)
            sequence.ids.append(choice.token)
            if choice.ended:
                break
        answers.append(sequence.ids)
    assert answers[0] == answers[1]


def test_an_error_stays_with_its_request(sampler: Sampler, end: int) -> None:
    batch = [
        asked(Constraint("regex", ("a(",)), end),
        asked(Constraint("regex", ("[ab]{3}",)), end),
        asked(Constraint("grammar", ('start: "a" other',)), end),
        DecoderSequence(Tokens((1,)), Sampling(5)),
    ]
    numbers = torch.Generator().manual_seed(0)
    for _ in range(2):
        found = sampler.choose(batch, random_rows(4, numbers))
        assert [type(item) for item in found] == [InvalidRequest, Choice, InvalidRequest, Choice]
        for sequence, choice in zip(batch, found, strict=True):
            if isinstance(choice, Choice):
                sequence.ids.append(choice.token)


def test_a_text_that_left_its_grammar_fails_alone(sampler: Sampler, end: int) -> None:
    batch = [asked(Constraint("regex", ("a{9}",)), end) for _ in range(2)]
    batch[0].ids.append(end)
    first, second = sampler.choose(batch, torch.zeros(2, WIDTH))
    assert isinstance(first, InvalidRequest)
    assert first.violations[0].field == "sampling.regex"
    assert isinstance(second, Choice)


def test_one_that_costs_too_much_fails_alone(sampler: Sampler, end: int) -> None:
    """Every reading of a run of letters is a state of its own: the parser's limit is met soon."""
    parts = " | ".join(f"/[a-z]{{0,{count}}}x/ a" for count in range(1, 3000))
    hostile = Constraint("grammar", (f"start: a\na: {parts}",))
    batch = [asked(hostile, end), asked(Constraint("regex", ("[ab]{60}",)), end)]
    failed, good = sampler.choose(batch, torch.zeros(2, WIDTH))
    assert isinstance(failed, InvalidRequest)
    assert "max is 2000" in failed.message
    assert isinstance(good, Choice)


def test_grammars_are_compiled_once_and_not_for_ever(constraints: Constraints) -> None:
    first = Constraint("regex", ("a",))
    constraints.matcher(first)
    compiled = constraints._compiled[first]
    one, other = constraints.matcher(first), constraints.matcher(first)
    assert constraints._compiled[first] is compiled
    one.take(number_of(vocabularies.byte_level().backend_tokenizer, "a"))
    assert other.allowed(frozenset()).any()
    for number in range(KEPT):
        constraints.matcher(Constraint("regex", (f"b{number}",)))
    assert first not in constraints._compiled
    assert len(constraints._compiled) == KEPT


def test_nothing_is_kept_after_release(sampler: Sampler, end: int) -> None:
    batch = [asked(JSON, end), asked(Constraint("regex", ("(",)), end)]
    sampler.choose(batch, torch.zeros(2, WIDTH))
    for sequence in batch:
        sampler.release(sequence)
    assert len(sampler) == 0


def test_several_ends(tokenizer: tokenizers.Tokenizer, end: int) -> None:
    other = number_of(tokenizer, "z")
    constraints = Constraints(tokenizer, WIDTH, [end, other])
    matcher = constraints.matcher(Constraint("regex", ("a+",)))
    matcher.take(number_of(tokenizer, "a"))
    for ends in ({end}, {other}, {end, other}):
        bits = matcher.allowed(frozenset(ends))
        allowed = {token for token in (end, other) if bits[token >> 5] >> (token & 31) & 1}
        assert allowed == ends
