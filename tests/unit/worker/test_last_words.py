"""What a worker leaves behind, and what it writes into its log."""

import json
import logging
from pathlib import Path

import pytest

from lepton_worker.errors import WeightsMissing
from lepton_worker.last_words import last_words
from lepton_worker.logs import JsonLines, TextLines


def test_reason_and_message_are_left_as_json(tmp_path: Path) -> None:
    last_words(tmp_path / "log", WeightsMissing("no weights, größer"))
    assert json.loads((tmp_path / "log").read_text()) == {
        "reason": "WeightsMissing",
        "message": "no weights, größer",
    }


@pytest.mark.parametrize("letter", ["x", "é", "𝄞", '"', "\n"])
def test_they_stay_below_what_kubernetes_keeps(tmp_path: Path, letter: str) -> None:
    last_words(tmp_path / "log", WeightsMissing(letter * 9000))
    content = (tmp_path / "log").read_bytes()
    assert len(content) <= 4096
    assert set(json.loads(content)["message"]) == {letter}


def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    last_words(tmp_path / "none" / "log", WeightsMissing("x"))
    assert list(tmp_path.iterdir()) == []


def a_record(**extra: str) -> logging.LogRecord:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "a %s", "args": ("b",)}
    )
    record.created = 0.5
    record.__dict__.update(extra)
    return record


def test_lines_of_the_log() -> None:
    assert (
        TextLines().format(a_record(request_id="7")) == "1970-01-01T00:00:00.500Z INFO    a b [7]"
    )
    assert json.loads(JsonLines().format(a_record(request_id="7"))) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "info",
        "logger": "n",
        "message": "a b",
        "request_id": "7",
    }
