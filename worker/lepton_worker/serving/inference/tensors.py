"""Tensors on the wire: datatypes, raw bytes and typed contents, and every check of their sizes."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lepton_worker.errors import InvalidRequest, Violation

Values: TypeAlias = "npt.NDArray[Any] | list[bytes]"
"""An array, or the elements of a tensor of BYTES in their order."""

LENGTH = struct.Struct("<I")
"""In front of each element of BYTES."""

MOST_DIMENSIONS = 8
MOST_ELEMENTS = 2**22
"""Of one input: what is done for each of them is done in Python."""


@dataclass(frozen=True)
class Kind:
    """How a datatype is stored: as little-endian numbers, and in which field of typed contents.

    `dtype` is None for BYTES, `field` is "" for those that exist only as raw bytes.
    """

    dtype: str | None
    field: str


KINDS: Mapping[str, Kind] = {
    "BOOL": Kind("?", "bool_contents"),
    "UINT8": Kind("u1", "uint_contents"),
    "UINT16": Kind("<u2", "uint_contents"),
    "UINT32": Kind("<u4", "uint_contents"),
    "UINT64": Kind("<u8", "uint64_contents"),
    "INT8": Kind("i1", "int_contents"),
    "INT16": Kind("<i2", "int_contents"),
    "INT32": Kind("<i4", "int_contents"),
    "INT64": Kind("<i8", "int64_contents"),
    "FP16": Kind("<f2", ""),
    # There is no such number in numpy: the upper half of an FP32.
    "BF16": Kind("<u2", ""),
    "FP32": Kind("<f4", "fp32_contents"),
    "FP64": Kind("<f8", "fp64_contents"),
    "BYTES": Kind(None, "bytes_contents"),
}


class Unfit(ValueError):
    """Data that are not those of a tensor; the text says why."""


# ------------------------------------------------------------------ both directions
def encoded(datatype: str, values: Values) -> bytes:
    """The raw form: row by row, BYTES with their lengths."""
    if isinstance(values, list):
        return b"".join(LENGTH.pack(len(item)) + item for item in values)
    return values.astype(KINDS[datatype].dtype, copy=False).tobytes()


def from_raw(datatype: str, count: int, data: bytes) -> Values:
    """`count` elements of the raw form; raises Unfit."""
    dtype = KINDS[datatype].dtype
    if dtype is None:
        return _elements(count, data)
    size = np.dtype(dtype).itemsize
    if len(data) != count * size:
        raise Unfit(f"has {len(data)} bytes; {count} elements of {datatype} take {count * size}")
    return np.frombuffer(data, dtype)


def _elements(count: int, data: bytes) -> list[bytes]:
    found: list[bytes] = []
    place = 0
    while place < len(data):
        begin = place + LENGTH.size
        if begin > len(data) or len(found) == count:
            break
        end = begin + LENGTH.unpack_from(data, place)[0]
        if end > len(data):
            break
        found.append(data[begin:end])
        place = end
    if len(found) != count or place != len(data):
        raise Unfit(f"is not {count} elements, each behind its length of four bytes")
    return found


def from_contents(datatype: str, count: int, contents: Any) -> Values:
    """`count` elements of typed contents; raises Unfit."""
    kind = KINDS[datatype]
    if not kind.field:
        raise Unfit(f"has no typed contents: {datatype} is sent as raw bytes")
    others = [field.name for field, _ in contents.ListFields() if field.name != kind.field]
    if others:
        raise Unfit(f"has {others[0]}; {datatype} belongs into {kind.field}")
    values = getattr(contents, kind.field)
    if len(values) != count:
        raise Unfit(f"has {len(values)} elements in {kind.field}, not {count}")
    if kind.dtype is None:
        return list(values)
    try:
        return np.fromiter(values, kind.dtype, count)
    except OverflowError:
        raise Unfit(f"has numbers that are no {datatype}") from None


# ------------------------------------------------------------------ the inputs of a request
@dataclass(frozen=True)
class Spec:
    """An input or output of a model: its datatypes, the usual one first, and its shape (-1: any).

    Inputs of shape [n] are taken as [n, 1], too. `aliases` are other names of an input, `optional`
    inputs may be left out, and such outputs are there only when they are asked for.
    """

    name: str
    datatypes: tuple[str, ...]
    shape: tuple[int, ...]
    optional: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """An input that was sent, under the name by which the caller called it."""

    sent_as: str
    shape: tuple[int, ...]
    values: Values


def read_inputs(request: Any, specs: Sequence[Spec], most: int) -> dict[str, Tensor]:
    """The inputs of a ModelInferRequest by the names of their specs, `most` rows in each.

    Raises InvalidRequest with all that is wrong.
    """
    raw = request.raw_input_contents
    known = {name: spec for spec in specs for name in (spec.name, *spec.aliases)}
    if raw and len(raw) != len(request.inputs):
        text = f"must be none, or as many as inputs ({len(request.inputs)}), not {len(raw)}"
        raise InvalidRequest([Violation("raw_input_contents", text)])
    if len(request.inputs) > len(known):
        text = f"must be at most {len(known)}, not {len(request.inputs)}"
        raise InvalidRequest([Violation("inputs", text)])
    found: dict[str, Tensor] = {}
    wrong: list[Violation] = []
    for index, sent in enumerate(request.inputs):
        field = f"inputs[{index}]"
        spec = known.get(sent.name)
        if spec is None or spec.name in found:
            what = _shortened(sent.name)
            names = ", ".join(spec.name for spec in specs)
            text = f"{what} a second time" if spec else f"{what}: the model has no such input"
            wrong.append(Violation(f"{field}.name", f"{text}; inputs are {names}"))
            continue
        try:
            found[spec.name] = _tensor(sent, spec, raw[index] if raw else None, most)
        except Unfit as error:
            wrong.append(Violation(field, f"{_shortened(sent.name)} {error}"))
    if wrong:
        raise InvalidRequest(wrong)
    return found


def _tensor(sent: Any, spec: Spec, raw: bytes | None, most: int) -> Tensor:
    if sent.datatype not in spec.datatypes:
        names = " or ".join(spec.datatypes)
        raise Unfit(f"must be {names}, not {_shortened(sent.datatype)}")
    if any(name.startswith("shared_memory") for name in sent.parameters):
        raise Unfit("must be sent with its data: shared memory is not served")
    shape = _shape(sent.shape, spec, most)
    count = math.prod(shape)
    if raw is None:
        return Tensor(sent.name, shape, from_contents(sent.datatype, count, sent.contents))
    if sent.contents.ByteSize():
        raise Unfit("has both raw and typed contents")
    return Tensor(sent.name, shape, from_raw(sent.datatype, count, raw))


def _shape(sent: Sequence[int], spec: Spec, most: int) -> tuple[int, ...]:
    if len(sent) > MOST_DIMENSIONS:
        raise Unfit(f"must have at most {MOST_DIMENSIONS} dimensions, not {len(sent)}")
    shape = tuple(sent)
    if any(size < 1 for size in shape):
        raise Unfit(f"has shape {list(shape)}: no size may be less than 1")
    column = len(spec.shape) == 1 and len(shape) == 2 and shape[1] == 1
    if len(shape) != len(spec.shape) and not column:
        wanted = "[n] or [n, 1]" if len(spec.shape) == 1 else "[n, length]"
        raise Unfit(f"must have shape {wanted}, not {list(shape)}")
    if shape[0] > most:
        raise Unfit(f"must have at most {most} rows, not {shape[0]}")
    if math.prod(shape) > MOST_ELEMENTS:
        raise Unfit(f"must have at most {MOST_ELEMENTS} elements, not {math.prod(shape)}")
    return shape


def texts(tensor: Tensor) -> list[str]:
    """The elements of a tensor of BYTES as texts; raises InvalidRequest."""
    found: list[str] = []
    wrong = []
    for index, item in enumerate(tensor.values):
        try:
            found.append(item.decode())
        except UnicodeDecodeError:
            wrong.append(Violation(f"{tensor.sent_as}[{index}]", "is not UTF-8"))
    if wrong:
        raise InvalidRequest(wrong)
    return found


# ------------------------------------------------------------------ the outputs of an answer
def wanted_outputs(request: Any, specs: Sequence[Spec]) -> list[Spec]:
    """The outputs that a request asks for, in its order, or the usual ones.

    Raises InvalidRequest.
    """
    known = {spec.name: spec for spec in specs}
    if len(request.outputs) > len(known):
        text = f"must be at most {len(known)}, not {len(request.outputs)}"
        raise InvalidRequest([Violation("outputs", text)])
    wrong = []
    for index, sent in enumerate(request.outputs):
        field = f"outputs[{index}]"
        if sent.name not in known:
            text = f"{_shortened(sent.name)}: the model has no such output; it has"
            wrong.append(Violation(f"{field}.name", f"{text} {', '.join(known)}"))
        elif sent.name in [other.name for other in request.outputs[:index]]:
            wrong.append(Violation(f"{field}.name", f"{sent.name!r} a second time"))
        refused = [name for name in sent.parameters if name.startswith(NOT_SERVED)]
        if refused:
            wrong.append(Violation(f"{field}.parameters", f"{refused[0]} is not served"))
    if wrong:
        raise InvalidRequest(wrong)
    usual = [spec for spec in specs if not spec.optional]
    return [known[sent.name] for sent in request.outputs] or usual


NOT_SERVED = ("shared_memory", "classification")
"""Parameters of outputs that would change what is answered, and how."""


def _shortened(name: str, most: int = 40) -> str:
    return repr(name if len(name) <= most else f"{name[:most]}…")
