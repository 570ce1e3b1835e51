"""Works with guessed tokens: how they are made, judged token by token, and taken back."""

from collections.abc import Sequence
from dataclasses import replace

from lepton_worker.backends.base import Progress, Written
from lepton_worker.backends.native.choosing import Choice
from lepton_worker.backends.native.work import Place, Work
from lepton_worker.errors import RequestError

Outcome = Progress | RequestError


def with_draft(work: Work, draft: Sequence[int]) -> None:
    """Put guessed tokens behind a work of one token; each needs logits."""
    work.draft = tuple(draft)
    work.count = work.rows = 1 + len(draft)


def plain(work: Work) -> Work:
    """The same work without its guesses."""
    return replace(work, draft=(), count=1, rows=1)


def concluded(work: Work, choice: Choice | RequestError, done: Progress) -> Outcome:
    """Take a chosen token in, behind those that `done` has of this step.

    An error behind a token ends the step: the next one meets it again, as without guesses.
    """
    if isinstance(choice, RequestError):
        return choice if done.token is None else done
    work.sequence.ids.append(choice.token)
    if done.token is None:
        return replace(done, token=choice.token, logprob=choice.logprob, ended=choice.ended)
    further = (*done.further, Written(choice.token, choice.logprob))
    return replace(done, further=further, ended=choice.ended)


def goes_on(work: Work, outcome: Outcome, place: int) -> bool:
    """Whether the token chosen last is the one guessed at a place, and may be followed."""
    if not isinstance(outcome, Progress) or outcome.ended or place >= len(work.draft):
        return False
    written = outcome.written
    if len(written) != place + 1:
        return False
    token = written[-1].token
    return token == work.draft[place] and token not in work.sequence.sampling.ends


def settled(work: Work, slot: Place | None, outcome: Outcome) -> Outcome:
    """Let a text's slot know no more than the tokens that were kept."""
    if slot is work.slot:
        kept = len(outcome.further) if isinstance(outcome, Progress) else 0
        slot.known = work.start + 1 + kept
    return replace(outcome, drafted=len(work.draft)) if isinstance(outcome, Progress) else outcome
