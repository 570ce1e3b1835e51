"""Text as it grows: never half a character, and joined exactly the decoded whole."""

import random
from collections.abc import Sequence

import pytest

from lepton_worker.backends.echo import ByteTokenizer
from lepton_worker.model import Tokenized, Tokenizer
from lepton_worker.tasks.detokenizer import REPLACEMENT, Detokenizer


class WordTokenizer(ByteTokenizer):
    """Words with a mark for the space in front, which the first one loses; 100 to 355 are bytes,
    of which a whole run has to be valid; 99 is special and does not end a run."""

    words = ("▁", "▁the", "▁cat", "s", "!")

    def encode(self, texts: Sequence[str], cut_at: int | None = None) -> list[Tokenized]:
        raise NotImplementedError

    def is_open(self, token: int) -> bool:
        return token >= 99

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
        text, run = "", b""
        for token in [*(number for number in ids if number != 99), -1]:
            if token >= 100:
                run += bytes([token - 100])
                continue
            text += self._of_run(run)
            run = b""
            text += self.words[token] if token >= 0 else ""
        return text.replace("▁", " ").removeprefix(" ")

    def _of_run(self, run: bytes) -> str:
        try:
            return run.decode()
        except UnicodeDecodeError:
            return REPLACEMENT * len(run)


def pieces(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    growing = Detokenizer(tokenizer)
    return [*(growing.add(token) for token in tokens), growing.flush()]


def test_a_character_comes_when_its_last_byte_does() -> None:
    given = pieces(ByteTokenizer(), "aé€𝄞".encode())
    assert given == ["a", "", "é", "", "", "€", "", "", "", "𝄞", ""]


def test_a_run_of_byte_tokens_waits_for_its_end() -> None:
    run = [100 + byte for byte in "你".encode()]
    assert pieces(WordTokenizer(), [2, *run, 4]) == ["cat", "", "", "", "你!", ""]
    # One more byte makes the whole run invalid: nothing of it had been shown.
    assert pieces(WordTokenizer(), [2, *run, 355, 4])[-2] == REPLACEMENT * 4 + "!"


def test_only_the_very_first_space_is_dropped() -> None:
    assert pieces(WordTokenizer(), [1, 2, 3, 0, 0, 1]) == ["the", " cat", "s", " ", " ", " the", ""]


def test_special_tokens_have_no_text() -> None:
    assert pieces(WordTokenizer(), [99, 1, 99, 99, 2]) == ["", "the", "", "", " cat", ""]


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), WordTokenizer()])
def test_joined_they_are_the_decoded_whole(tokenizer: Tokenizer) -> None:
    numbers = random.Random(3)
    bytes_only = type(tokenizer) is ByteTokenizer
    mixed = list("aé€𝄞".encode())
    for _ in range(300):
        if bytes_only:
            tokens = [numbers.choice([*mixed, numbers.randrange(257)]) for _ in range(12)]
        else:
            text = [100 + byte for byte in mixed]
            tokens = [numbers.choice([0, 1, 2, 3, 4, 99, *text]) for _ in range(12)]
        assert "".join(pieces(tokenizer, tokens)) == tokenizer.decode(tokens), tokens
