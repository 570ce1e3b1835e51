"""Tensors on the wire: both forms of each datatype, and every way in which they do not fit."""

import struct
from typing import Any

import numpy as np
import pytest

from lepton_worker.errors import InvalidRequest
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.tensors import (
    KINDS,
    Spec,
    Tensor,
    Unfit,
    encoded,
    from_contents,
    from_raw,
    read_inputs,
    texts,
    wanted_outputs,
)

Contents = messages.POOL.message("inference.InferTensorContents")
SPECS = (
    Spec("text", ("BYTES",), (-1,), aliases=("prompt",)),
    Spec("ids", ("INT64", "INT32"), (-1, -1), optional=True),
)
OUTPUTS = (Spec("label", ("BYTES",), (-1,)), Spec("score", ("FP32",), (-1,)))
MOST = 4
ABC = b"\1\0\0\0a\2\0\0\0bc"

RAW = [
    ("BOOL", [True, False], b"\1\0"),
    ("UINT8", [255], b"\xff"),
    ("UINT16", [258], b"\2\1"),
    ("UINT32", [1], b"\1\0\0\0"),
    ("UINT64", [1], b"\1" + b"\0" * 7),
    ("INT8", [-1], b"\xff"),
    ("INT16", [-2], b"\xfe\xff"),
    ("INT32", [-1], b"\xff" * 4),
    ("INT64", [1, -1], b"\1" + b"\0" * 7 + b"\xff" * 8),
    ("FP16", [1.0], b"\0\x3c"),
    ("FP32", [1.0], struct.pack("<f", 1)),
    ("FP64", [1.0], struct.pack("<d", 1)),
    ("BYTES", [b"a", b"bc"], ABC),
    ("BYTES", [b""], b"\0\0\0\0"),
]


@pytest.mark.parametrize(("datatype", "values", "raw"), RAW, ids=[row[0] for row in RAW])
def test_raw_bytes_both_ways(datatype: str, values: list[Any], raw: bytes) -> None:
    found = from_raw(datatype, len(values), raw)
    assert list(found) == values
    assert encoded(datatype, found) == raw
    given = values if datatype == "BYTES" else np.array(values, dtype=float)
    assert encoded(datatype, given) == raw
    for count, data in ((len(values) + 1, raw), (len(values), raw[:-1]), (len(values), raw + b"x")):
        with pytest.raises(Unfit):
            from_raw(datatype, count, data)


@pytest.mark.parametrize(
    "data",
    [b"\1\0\0", b"\2\0\0\0a", b"\xff\xff\xff\xffa", b"\1\0\0\0a\1", ABC + b"\0\0\0\0", b""],
    ids=repr,
)
def test_elements_that_end_elsewhere_are_refused(data: bytes) -> None:
    with pytest.raises(Unfit, match="2 elements"):
        from_raw("BYTES", 2, data)


@pytest.mark.parametrize("datatype", sorted(KINDS))
def test_typed_contents_of_each_datatype(datatype: str) -> None:
    field = KINDS[datatype].field
    value: Any = b"a" if datatype == "BYTES" else 1
    if not field:
        with pytest.raises(Unfit, match="raw bytes"):
            from_contents(datatype, 0, Contents())
        return
    contents = Contents(**{field: [value]})
    assert list(from_contents(datatype, 1, contents)) == [value]
    with pytest.raises(Unfit, match=f"has 1 elements in {field}, not 2"):
        from_contents(datatype, 2, contents)
    other = "bytes_contents" if datatype != "BYTES" else "fp32_contents"
    with pytest.raises(Unfit, match=other):
        from_contents(
            datatype, 1, Contents(**{field: [value], other: [b"" if other[0] == "b" else 0]})
        )


def test_numbers_that_are_too_large_for_their_datatype_are_refused() -> None:
    with pytest.raises(Unfit, match="no INT8"):
        from_contents("INT8", 1, Contents(int_contents=[300]))


def request(*inputs: Any, raw: list[bytes] | None = None, outputs: tuple[str, ...] = ()) -> Any:
    made = messages.InferRequest(raw_input_contents=raw or [])
    for name, datatype, shape in inputs:
        made.inputs.add(name=name, datatype=datatype, shape=shape)
    for name in outputs:
        made.outputs.add(name=name)
    return made


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("name", ["text", "prompt"])
def test_texts_are_a_row_or_a_column(shape: list[int], name: str) -> None:
    found = read_inputs(request((name, "BYTES", shape), raw=[ABC]), SPECS, MOST)
    assert found == {"text": Tensor(name, tuple(shape), [b"a", b"bc"])}
    assert texts(found["text"]) == ["a", "bc"]


def test_typed_and_raw_inputs_are_read_alike() -> None:
    raw = [ABC, np.array([[1, 2], [3, 4]], "<i4").tobytes()]
    inputs = ("text", "BYTES", [2]), ("ids", "INT32", [2, 2])
    typed = request(*inputs)
    typed.inputs[0].contents.bytes_contents.extend([b"a", b"bc"])
    typed.inputs[1].contents.int_contents.extend([1, 2, 3, 4])
    for sent in (request(*inputs, raw=raw), typed):
        found = read_inputs(sent, SPECS, MOST)
        assert found["text"].values == [b"a", b"bc"]
        assert np.asarray(found["ids"].values).tolist() == [1, 2, 3, 4]
        assert found["ids"].shape == (2, 2)


HUGE = 2**62
WRONG = [
    (request(("text", "BYTES", [2]), raw=[ABC, b""]), "raw_input_contents", "as many as inputs"),
    (request(*[("text", "BYTES", [2])] * 4, raw=[ABC] * 4), "inputs", "at most 3, not 4"),
    (request(("texts", "BYTES", [2]), raw=[ABC]), "inputs[0].name", "no such input"),
    (request(*[("text", "BYTES", [2])] * 2, raw=[ABC] * 2), "inputs[1].name", "second time"),
    (
        request(("text", "BYTES", [2]), ("prompt", "BYTES", [2]), raw=[ABC] * 2),
        "inputs[1].name",
        "'prompt' a second time",
    ),
    (request(("text", "STRING", [2]), raw=[ABC]), "inputs[0]", "must be BYTES, not 'STRING'"),
    (request(("ids", "FP32", [1, 1]), raw=[b"abcd"]), "inputs[0]", "INT64 or INT32"),
    (request(("text", "BYTES", []), raw=[ABC]), "inputs[0]", "[n] or [n, 1], not []"),
    (request(("text", "BYTES", [1, 2]), raw=[ABC]), "inputs[0]", "not [1, 2]"),
    (request(("ids", "INT64", [1]), raw=[b"x" * 8]), "inputs[0]", "[n, length], not [1]"),
    (request(("text", "BYTES", [0]), raw=[b""]), "inputs[0]", "less than 1"),
    (request(("text", "BYTES", [-1]), raw=[ABC]), "inputs[0]", "less than 1"),
    (request(("text", "BYTES", [1] * 9), raw=[ABC]), "inputs[0]", "at most 8 dimensions"),
    (request(("text", "BYTES", [5]), raw=[ABC]), "inputs[0]", "at most 4 rows, not 5"),
    (request(("ids", "INT64", [4, HUGE]), raw=[b""]), "inputs[0]", "elements, not"),
    (request(("ids", "INT64", [1, 2]), raw=[b"x" * 8]), "inputs[0]", "take 16"),
    (request(("text", "BYTES", [3]), raw=[ABC]), "inputs[0]", "3 elements"),
    (request(("text", "BYTES", [2])), "inputs[0]", "has 0 elements in bytes_contents"),
    (request(("x" * 500, "BYTES", [2]), raw=[ABC]), "inputs[0].name", "xxx…'"),
]


@pytest.mark.parametrize(("sent", "field", "text"), WRONG, ids=[row[2] for row in WRONG])
def test_inputs_that_do_not_fit_are_named(sent: Any, field: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_inputs(sent, SPECS, MOST)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert text in violation.description
    assert len(caught.value.message) < 300


def test_raw_and_typed_contents_are_not_mixed() -> None:
    sent = request(("text", "BYTES", [2]), raw=[ABC])
    sent.inputs[0].contents.SetInParent()
    assert read_inputs(sent, SPECS, MOST)
    sent.inputs[0].contents.bytes_contents.append(b"a")
    with pytest.raises(InvalidRequest, match="both raw and typed"):
        read_inputs(sent, SPECS, MOST)


def test_shared_memory_is_refused() -> None:
    sent = request(("text", "BYTES", [2]), raw=[ABC], outputs=("label",))
    sent.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidRequest, match="shared memory is not served"):
        read_inputs(sent, SPECS, MOST)
    sent.outputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidRequest, match="shared_memory_region is not served"):
        wanted_outputs(sent, OUTPUTS)


def test_every_wrong_input_is_told_at_once() -> None:
    sent = request(("a", "BYTES", [2]), ("ids", "FP32", [1, 1]), raw=[ABC, b"abcd"])
    with pytest.raises(InvalidRequest) as caught:
        read_inputs(sent, SPECS, MOST)
    assert [item.field for item in caught.value.violations] == ["inputs[0].name", "inputs[1]"]


def test_texts_have_to_be_utf8() -> None:
    with pytest.raises(InvalidRequest, match=r"prompt\[1\]: is not UTF-8"):
        texts(Tensor("prompt", (2,), [b"a", b"\xff"]))


@pytest.mark.parametrize(
    ("asked", "names"),
    [((), ["label", "score"]), (("score",), ["score"]), (("score", "label"), ["score", "label"])],
)
def test_outputs_are_all_or_those_asked_for(asked: tuple[str, ...], names: list[str]) -> None:
    found = wanted_outputs(request(outputs=asked), OUTPUTS)
    assert [spec.name for spec in found] == names


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (("labels",), "it has label, score"),
        (("label", "label"), "a second time"),
        (("label",) * 3, "at most 2, not 3"),
    ],
)
def test_outputs_that_there_are_not_are_refused(asked: tuple[str, ...], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        wanted_outputs(request(outputs=asked), OUTPUTS)
