"""Requests of the Open Inference Protocol, made by hand and sent over a channel."""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.tensors import encoded

INFER, STREAM = "ModelInfer", "ModelStreamInfer"


def request(
    model: str = "",
    texts: Sequence[str] = ("some text",),
    name: str = "text",
    parameters: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """A request with one input of texts."""
    made = messages.InferRequest(model_name=model, **more)
    made.inputs.add(name=name, datatype="BYTES", shape=[len(texts)])
    made.raw_input_contents.append(encoded("BYTES", [text.encode() for text in texts]))
    for key, value in (parameters or {}).items():
        setattr(made.parameters[key], field_of(value), value)
    return made


def field_of(value: Any) -> str:
    """The field of an InferParameter for a value."""
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    return kinds[type(value)]


def infer(channel: grpc.Channel, sent: Any, **options: Any) -> Any:
    """Call ModelInfer with a message or with bytes."""
    return method(channel, INFER)(sent, **options)


def method(channel: grpc.Channel, name: str = INFER) -> Any:
    """A unary method that takes a message or bytes and gives a ModelInferResponse."""
    return channel.unary_unary(path(name), as_bytes, messages.InferResponse.FromString)


def stream(channel: grpc.Channel, sent: Iterable[Any], **options: Any) -> Any:
    """Call ModelStreamInfer."""
    call = channel.stream_stream(path(STREAM), as_bytes, messages.StreamInferResponse.FromString)
    return call(iter(sent), **options)


def path(name: str) -> str:
    """The path of a method."""
    return f"/{messages.SERVICE}/{name}"


def as_bytes(sent: Any) -> bytes:
    """A message as bytes; bytes stay as they are."""
    data: bytes = sent if isinstance(sent, bytes) else sent.SerializeToString()
    return data
