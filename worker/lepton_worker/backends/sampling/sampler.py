"""From the logits of a step to the next token of each sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.constraints import Bits, Constraints, Matcher
from lepton_worker.backends.sampling.logprobs import logprobs
from lepton_worker.backends.sampling.penalties import Edits
from lepton_worker.backends.sampling.rows import Row
from lepton_worker.backends.sampling.truncation import draw
from lepton_worker.errors import InternalError, InvalidRequest, RequestError, Violation
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Constraint, TokenLogprob

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
FORBIDDEN = np.where(_BITS == 1, np.float32(0), np.float32(-np.inf))
"""What eight bits of a mask add to eight logits; [256, 8]. One look-up for eight tokens is some ten
times faster than to unpack the bits and fill by them."""


@dataclass(frozen=True)
class Choice:
    """The next token; `ended` says that a constraint is fulfilled and nothing may follow."""

    token: int
    logprob: TokenLogprob | None = None
    ended: bool = False


@dataclass
class _Treated:
    """A row that needs more than the largest logit: its place in the batch and its sequence."""

    place: int
    row: Row
    position: int


class Sampler:
    """Chooses the next tokens of a batch and keeps what that needs of each sequence.

    The order of treatment is that of transformers' `generate`, with what that lacks put in:

    1. log probabilities are taken from the logits as the model gave them;
    2. repetition penalty, over prompt and answer;
    3. presence and frequency penalties, over the answer alone;
    4. bans: repeated n-grams, ends before `min_new_tokens`, the model's suppressed tokens;
    5. bias;
    6. the constraint's mask; where bans leave nothing that it allows, they give way to it;
    7. greedy rows end here with the largest logit, of equal ones the first;
    8. temperature, then top-k, top-p and min-p, each among what the one before left;
    9. a draw by a number that only the seed and the position in the answer decide.

    Tokens that are given (`Sampling.forced`) are taken as they are, and none of this is done.
    """

    def __init__(
        self,
        model_defaults: GenerationDefaults,
        vocabulary: int,
        constraints: Constraints | None,
        beginning: Sequence[int] | None = None,
    ) -> None:
        """Tokens from `vocabulary` on have no embedding: wider logits are cut there.

        `beginning` is for encoder-decoders: the tokens that their decoder begins with. The
        penalties count these in place of the prompt, which is another text.
        """
        self._defaults = model_defaults
        self._vocabulary = vocabulary
        self._constraints = constraints
        self._beginning = beginning
        self._rows: dict[DecoderSequence, Row] = {}

    def __len__(self) -> int:
        """How many sequences something is kept of."""
        return len(self._rows)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""
        self._rows.pop(sequence, None)

    def choose(
        self, sequences: Sequence[DecoderSequence], logits: torch.Tensor
    ) -> list[Choice | RequestError]:
        """The next token of each sequence by its logits [rows, vocabulary], or its error.

        A sequence's `ids` must hold all of its tokens so far; the chosen one is not appended.
        """
        logits = logits[:, : self._vocabulary]
        tops, tokens = _largest(logits)
        errors = _not_finite(tops)
        treated = self._treated(sequences, logits, errors)
        if treated:
            self._treat(treated, logits, tokens, errors)
        ended = _take(treated, tokens, errors)
        _give(sequences, tokens)
        reports = _reports(sequences, logits, tokens, errors)
        return [
            errors.get(place) or Choice(token, reports.get(place), place in ended)
            for place, token in enumerate(tokens)
        ]

    def _treated(
        self,
        sequences: Sequence[DecoderSequence],
        logits: torch.Tensor,
        errors: dict[int, RequestError],
    ) -> list[_Treated]:
        """The rows that are not plainly greedy, up to date with their tokens."""
        treated = []
        for place, sequence in enumerate(sequences):
            if place in errors:
                continue
            try:
                row = self._rows.get(sequence) or self._begin(sequence, logits)
                position = row.position(sequence)
                if position < len(sequence.sampling.forced):
                    continue
                if self._suppresses(position, sequence) or not row.is_plain(position):
                    row.follow(sequence)
                    treated.append(_Treated(place, row, position))
            except RequestError as error:
                errors[place] = error
        return treated

    def _suppresses(self, position: int, sequence: DecoderSequence) -> bool:
        first = position == len(sequence.sampling.forced)
        return bool(self._defaults.suppressed or (first and self._defaults.suppressed_first))

    def _begin(self, sequence: DecoderSequence, logits: torch.Tensor) -> Row:
        constraint = sequence.sampling.constraint
        matcher = self._matcher(constraint) if constraint else None
        row = Row(sequence, matcher, self._beginning, logits.shape[-1], logits.device)
        self._rows[sequence] = row
        return row

    def _matcher(self, constraint: Constraint) -> Matcher:
        if self._constraints is None:
            field = f"sampling.{constraint.kind}"
            raise InvalidRequest([Violation(field, "this model is served without constraints")])
        return self._constraints.matcher(constraint)

    def _treat(
        self,
        treated: list[_Treated],
        logits: torch.Tensor,
        tokens: list[int],
        errors: dict[int, RequestError],
    ) -> None:
        """Put the tokens of treated rows in place, or their errors."""
        # A copy in any case: `logits` stay as they are for the log probabilities.
        changed = logits[[item.place for item in treated]].float()
        edits = Edits(logits.shape[-1], logits.device)
        for place, item in enumerate(treated):
            item.row.edit(edits, place, item.position, self._defaults)
        edits.apply(changed)
        masks = self._masks(treated, logits, errors)
        for place, mask in masks.items():
            changed[place] += mask
        if edits or masks:
            tops, firsts = _largest(changed)
        else:
            # Untouched: the largest are known already, and are finite.
            tops, firsts = [0.0] * len(treated), [tokens[item.place] for item in treated]
        for place, mask in masks.items():
            if tops[place] == float("-inf"):
                changed[place] = logits[treated[place].place].float() + mask
                [tops[place]], [firsts[place]] = _largest(changed[place : place + 1])
        drawn = _settle(treated, tops, firsts, tokens, errors)
        if drawn:
            rows = changed if len(drawn) == len(treated) else changed[drawn]
            _draw([treated[place] for place in drawn], rows, tokens)

    def _masks(
        self,
        treated: list[_Treated],
        logits: torch.Tensor,
        errors: dict[int, RequestError],
    ) -> dict[int, torch.Tensor]:
        """What to add to the logits of rows that have a grammar."""
        masks = {}
        for place, item in enumerate(treated):
            if item.row.matcher:
                try:
                    bits = item.row.matcher.allowed(item.row.sampling.ends)
                    masks[place] = _mask(bits, logits.shape[-1]).to(logits.device)
                except InvalidRequest as error:
                    errors[item.place] = error
        return masks


def _largest(logits: torch.Tensor) -> tuple[list[float], list[int]]:
    """The largest logit of each row and its token, of equal ones the first; NaN counts as largest.

    On a CPU numpy finds places of float32 ten times as fast as torch.
    """
    if logits.device.type == "cpu" and logits.dtype is torch.float32:
        rows = logits.numpy()
        places = rows.argmax(-1)
        return rows[np.arange(len(rows)), places].tolist(), places.tolist()
    values, tokens = logits.max(-1)
    return values.tolist(), tokens.tolist()


def _settle(
    treated: list[_Treated],
    tops: list[float],
    firsts: list[int],
    tokens: list[int],
    errors: dict[int, RequestError],
) -> list[int]:
    """Put the tokens of greedy rows in place; returns which of the others are to be drawn."""
    drawn = []
    for place, item in enumerate(treated):
        if item.place in errors:
            continue
        if tops[place] == float("-inf"):
            text = "penalties, bans and bias leave no token to choose from"
            errors[item.place] = InvalidRequest([Violation("sampling", text)])
        elif item.row.greedy:
            tokens[item.place] = firsts[place]
        else:
            drawn.append(place)
    return drawn


def _not_finite(tops: Sequence[float]) -> dict[int, RequestError]:
    """An error for each row whose largest logit is infinite or no number: NaN counts as largest."""
    text = "the model computed something that is not a number"
    return {place: InternalError(text) for place, top in enumerate(tops) if not isfinite(top)}


def _mask(bits: Bits, vocabulary: int) -> torch.Tensor:
    """0 for allowed tokens and minus infinity for others; float32 [vocabulary]."""
    return torch.from_numpy(FORBIDDEN.take(bits.view(np.uint8), axis=0)).view(-1)[:vocabulary]


def _draw(treated: list[_Treated], changed: torch.Tensor, tokens: list[int]) -> None:
    """Put drawn tokens in place."""
    temperatures = [item.row.sampling.temperature for item in treated]
    changed /= torch.tensor(temperatures, device=changed.device, dtype=changed.dtype)[:, None]
    numbers = [item.row.number(item.position) for item in treated]
    found = draw(changed, [item.row.cut for item in treated], numbers)
    for item, token in zip(treated, found, strict=True):
        tokens[item.place] = token


def _give(sequences: Sequence[DecoderSequence], tokens: list[int]) -> None:
    """Put given tokens in place of chosen ones."""
    for place, sequence in enumerate(sequences):
        forced = sequence.sampling.forced
        position = len(sequence.ids) - len(sequence.prompt)
        if position < len(forced):
            tokens[place] = forced[position]


def _take(treated: list[_Treated], tokens: list[int], errors: dict[int, RequestError]) -> set[int]:
    """Go on in the grammars; the places of those that are fulfilled."""
    ended = set()
    for item in treated:
        if item.row.matcher is None or item.place in errors:
            continue
        try:
            if item.row.matcher.take(tokens[item.place]):
                ended.add(item.place)
        except InvalidRequest as error:
            errors[item.place] = error
    return ended


def _reports(
    sequences: Sequence[DecoderSequence],
    logits: torch.Tensor,
    tokens: list[int],
    errors: dict[int, RequestError],
) -> dict[int, TokenLogprob]:
    """The log probabilities that were asked for, by place."""
    tops = {
        place: sequence.sampling.logprobs
        for place, sequence in enumerate(sequences)
        if sequence.sampling.logprobs is not None and place not in errors
    }
    if not tops:
        return {}
    places = list(tops)
    rows = logits if len(places) == len(tokens) else logits[places]
    found = logprobs([tokens[place] for place in places], rows, list(tops.values()))
    return dict(zip(places, found, strict=True))
