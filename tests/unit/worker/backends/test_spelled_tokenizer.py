"""Tokenizers that are there as models of SentencePiece and a vocabulary."""

import itertools
import pickle
import random
from pathlib import Path

import pytest

from lepton_testing.sentencepiece import CONTROLS, Piece, model_bytes
from lepton_worker.backends.fast_tokenizer import FastTokenizer
from lepton_worker.backends.sentencepiece_model import PieceModel, read_model, splitter
from lepton_worker.backends.spelled_tokenizer import Marks, SpelledTokenizer

WORDS: list[Piece] = [
    *CONTROLS,
    ("▁", -3.0, 1),
    ("a", -2.0, 1),
    ("b", -2.5, 1),
    ("c", -4.0, 1),
    ("ab", -3.5, 1),
    ("▁ab", -4.5, 1),
    ("abc", -7.0, 1),
    ("ca", -4.1, 1),
]
VOCABULARY = {"</s>": 0, "<unk>": 1, ">>x<<": 2, "▁ab": 3, "c": 4, "ab": 5, "▁": 6, "a": 7, "ü": 8}
MARIAN = Marks(("</s>", "<unk>"), back=("</s>",), leads=(">>", "<<"))


def read(tmp_path: Path, pieces: list[Piece], kind: int = 1, **said: bool) -> PieceModel:
    file = tmp_path / "x.model"
    file.write_bytes(model_bytes(pieces, kind, **said))
    return read_model(file)


def pieces_of(model: PieceModel, text: str) -> list[str]:
    found: list[str] = splitter(model).encode(text, add_special_tokens=False).tokens
    return found


def most_probable(pieces: list[Piece], text: str) -> float:
    """The best sum over all ways to cut a text."""
    scores = {piece: score for piece, score, kind in pieces if kind == 1}
    best = [0.0] + [float("-inf")] * len(text)
    for start, end in itertools.combinations(range(len(text) + 1), 2):
        if text[start:end] in scores:
            best[end] = max(best[end], best[start] + scores[text[start:end]])
    return best[-1]


def merged(order: list[str], text: str) -> list[str]:
    """Pairs merged one by one, what comes first in the order first, and there the leftmost."""
    ranks = {piece: rank for rank, piece in enumerate(order)}
    parts = list(text)
    while True:
        pairs = [
            (ranks[a + b], place)
            for place, (a, b) in enumerate(itertools.pairwise(parts))
            if a + b in ranks
        ]
        if not pairs:
            return parts
        _, place = min(pairs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def drawn(count: int) -> list[str]:
    source = random.Random(3)
    return ["".join(source.choices("abc ", k=source.randint(1, 14))) for _ in range(count)]


def test_a_unigram_model_cuts_where_it_is_most_probable(tmp_path: Path) -> None:
    model = read(tmp_path, WORDS)
    scores = {piece: score for piece, score, _ in WORDS}
    for text in drawn(200):
        whole = "▁" + "▁".join(text.split()) if text.strip() else ""
        found = pieces_of(model, text)
        assert "".join(found) == whole
        assert sum(scores[piece] for piece in found) == pytest.approx(most_probable(WORDS, whole))


def test_a_bpe_model_merges_by_its_scores(tmp_path: Path) -> None:
    order = ["ab", "▁a", "ca", "bc", "abca", "▁ab", "aa"]
    pieces = [*CONTROLS, *((piece, -float(rank), 1) for rank, piece in enumerate(order))]
    pieces += [(letter, -20.0, 1) for letter in "▁abc"]
    model = read(tmp_path, pieces, kind=2)
    for text in drawn(200):
        if text.strip():
            whole = "▁" + "▁".join(text.split())
            assert pieces_of(model, text) == merged(order, whole)


@pytest.mark.parametrize(
    ("said", "text", "found"),
    [
        ({}, "  ab   c ", ["▁ab", "▁", "c"]),
        ({}, "a\n b", ["▁", "a", "\n", "▁", "b"]),
        ({}, "", []),
        ({}, "   ", []),
        ({"prefix": False}, "ab c", ["ab", "▁", "c"]),
        ({"trims": False}, " ab ", ["▁", "▁ab", "▁"]),
        ({}, "aüéb", ["▁", "a", "üé", "b"]),
    ],
)
def test_spaces_and_what_is_unknown(
    tmp_path: Path, said: dict[str, bool], text: str, found: list[str]
) -> None:
    assert pieces_of(read(tmp_path, WORDS, **said), text) == found


def test_bytes_stand_for_what_is_unknown(tmp_path: Path) -> None:
    pieces = [*WORDS, *((f"<0x{byte:02X}>", -9.0, 6) for byte in range(256))]
    model = read(tmp_path, pieces, bytes=True)
    found = pieces_of(model, "aü")
    assert found == ["▁", "a", "<0xC3>", "<0xBC>"]
    numbers = {piece: number for number, (piece, _, _) in enumerate(pieces)}
    ours = FastTokenizer(SpelledTokenizer(model, numbers, Marks(("<unk>",))), typed=False)
    [item] = ours.encode(["aü b"])
    assert ours.decode(item.tokens.ids) == "aü b"


@pytest.fixture
def marian(tmp_path: Path) -> FastTokenizer:
    spelled = SpelledTokenizer(read(tmp_path, WORDS), VOCABULARY, MARIAN)
    whole = FastTokenizer(spelled, typed=False, unknown=1)
    again: FastTokenizer = pickle.loads(pickle.dumps(whole))
    return again


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("ab c", [3, 6, 4, 0]),
        ("b", [6, 1, 0]),  # a piece without a number
        ("aü", [6, 7, 8, 0]),  # a number without a piece
        ("é", [6, 1, 0]),
        (">>x<< ab", [2, 3, 0]),
        (">>y<<ab", [1, 3, 0]),
        ("ab </s>c", [3, 0, 6, 4, 0]),
        ("", [0]),
    ],
)
def test_numbers_are_those_of_the_vocabulary(
    marian: FastTokenizer, text: str, ids: list[int]
) -> None:
    assert list(marian.encode([text])[0].tokens.ids) == ids


def test_places_frames_cuts_and_texts(marian: FastTokenizer) -> None:
    found = marian.pieces(">>x<< ab c")
    assert found.ids == (2, 3, 6, 4, 0)
    assert found.spans == ((0, 5), (6, 8), (8, 9), (9, 10), (0, 0))
    assert found.added == (0, 1)
    assert marian.frame().back == ((0, 0),)
    [cut] = marian.encode(["ab c ab"], cut_at=3)
    assert (cut.tokens.ids, cut.truncated) == ((3, 6, 0), True)
    assert marian.encode_pairs([("ab", "ab c")])[0].tokens.ids == (3, 3, 6, 4, 0)
    assert marian.decode([3, 6, 4, 5, 0]) == "ab cab"
    assert marian.decode([6, 7, 1, 0], special=True) == "a<unk></s>"
    assert (marian.size, marian.rust, marian.is_open(0)) == (9, None, True)


def test_languages_follow_the_vocabulary_and_are_not_found_in_texts(tmp_path: Path) -> None:
    vocabulary = {"<unk>": 0, "</s>": 1, "▁ab": 2}
    marks = Marks(("</s>", "<unk>"), ("__de__", "__en__"), ("__en__",), ("</s>",))
    spelled = SpelledTokenizer(read(tmp_path, WORDS), vocabulary, marks)
    ours = FastTokenizer(spelled, typed=False, unknown=0)
    assert ours.specials == {"</s>": 1, "<unk>": 0, "__de__": 3, "__en__": 4}
    assert ours.encode(["ab"])[0].tokens.ids == (4, 2, 1)
    assert 3 not in ours.encode(["__de__"])[0].tokens.ids
    assert ours.decode([3, 2, 1]) == "ab"


@pytest.mark.parametrize("content", [b"", b"\x0a\xff", b"not a model", model_bytes(WORDS, kind=3)])
def test_what_is_no_model_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.spm"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.spm"):
        read_model(file)


def test_a_vocabulary_without_the_unknown_token_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="<unk>"):
        SpelledTokenizer(read(tmp_path, WORDS), {"a": 0}, Marks(()))
