"""Lines of the log."""

import json
import logging
import sys

import pytest

from lepton_worker.logs import JsonLines, TextLines

SECRET = "king" + "fisher"
"""Not to be found in the source lines of a traceback."""


def record(logger: str, **extra: object) -> logging.LogRecord:
    """A record about an error that quotes a request, and that came of another one."""
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(SECRET) from error
    except ValueError:
        found = logging.getLogger(logger).makeRecord(
            logger, logging.ERROR, __file__, 1, "it failed", (), sys.exc_info(), extra=extra
        )
    return found


@pytest.mark.parametrize("form", [JsonLines(), TextLines()])
@pytest.mark.parametrize(
    "logger",
    ["lepton_worker.serving.calls", "lepton_worker.engine.core", "lepton_worker.backends.native.x"],
)
def test_exceptions_that_met_a_request_are_told_without_their_words(
    form: logging.Formatter, logger: str
) -> None:
    line = form.format(record(logger))
    assert SECRET not in line
    assert line.index("KeyError: (its text") < line.index("ValueError: (its text")
    assert "test_logs.py" in line


@pytest.mark.parametrize("form", [JsonLines(), TextLines()])
def test_exceptions_of_the_start_keep_their_words(form: logging.Formatter) -> None:
    assert f"ValueError: {SECRET}" in form.format(record("lepton_worker.process"))


def test_facts_become_fields() -> None:
    line = json.loads(JsonLines().format(record("a", request_id="r", facts={"code": "OK"})))
    assert (line["request_id"], line["code"], line["level"]) == ("r", "OK", "error")


def test_lines_for_people_have_the_id_alone() -> None:
    line = TextLines().format(record("a", request_id="r", facts={"code": "OK"}))
    assert "it failed [r]" in line
    assert "code" not in line.splitlines()[0]
