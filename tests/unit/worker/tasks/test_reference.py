"""The examples and the table of docs/reference/tasks.md, held against the messages."""

import re
from pathlib import Path

import pytest
from google.protobuf import json_format

from lepton.v1 import text_pb2
from lepton_worker.tasks.offers import ALWAYS, OFFERS

PAGE = (Path(__file__).parents[4] / "docs/reference/tasks.md").read_text()
EXAMPLES = re.findall(r"-d '(.+)' localhost:9000 lepton\.v1\.Text/(\w+)\n", PAGE)
ELSEWHERE = {"Summarise", "Translate", "Score"}


@pytest.mark.parametrize(("data", "call"), EXAMPLES, ids=[call for _, call in EXAMPLES])
def test_examples_are_requests(data: str, call: str) -> None:
    assert json_format.Parse(data, getattr(text_pb2, f"{call}Request")()).ByteSize()


def test_the_table_has_every_call() -> None:
    names = {offer.call for offer in OFFERS} | set(ALWAYS)
    text = {name.rsplit("/", 1)[1] for name in names if "/lepton.v1.Text/" in f"/{name}"}
    service = text_pb2.DESCRIPTOR.services_by_name["Text"]
    assert text == {method.name for method in service.methods}
    table = PAGE.split("## Which model answers what")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == text - ELSEWHERE
    assert len(EXAMPLES) == len(text - ELSEWHERE) - 2
