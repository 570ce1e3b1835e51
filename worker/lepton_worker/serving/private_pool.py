"""Protobuf packages that others register, too: read from descriptor sets, in a pool of our own.

A package can be registered once in a process, and clients of the Open Inference Protocol each
register theirs under a file name of their own. `make generate` writes the descriptor sets.
"""

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, TypeAlias

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError

from lepton_worker.errors import InvalidRequest, Violation

MessageClass: TypeAlias = Any
"""A class of messages that only exists at run time."""


class PrivatePool:
    """The messages and services of one descriptor set, such as `inference`."""

    def __init__(self, name: str) -> None:
        folder = resources.files("lepton_worker.serving") / "descriptors"
        data = (folder / f"{name}.binpb").read_bytes()
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            self.pool.Add(file)

    def message(self, full_name: str) -> MessageClass:
        """The class of a message."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))

    def handler(self, service: str, servicer: object) -> grpc.GenericRpcHandler:
        """What a server needs to let `servicer` answer; methods that it lacks are unimplemented.

        Its methods are asynchronous and take protobuf bytes apart by themselves, with `decoded`:
        only so does a message that is none become a status of ours.
        """
        methods = self.pool.FindServiceByName(service).methods
        return grpc.method_handlers_generic_handler(
            service,
            {
                method.name: _method_handler(method, getattr(servicer, method.name))
                for method in methods
                if hasattr(servicer, method.name)
            },
        )


def _method_handler(method: Any, behaviour: Callable[..., Any]) -> Any:
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make: Any = makers[method.client_streaming, method.server_streaming]
    return make(behaviour, response_serializer=_bytes)


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def decoded(kind: MessageClass, data: bytes) -> Any:
    """A message from its bytes; raises InvalidRequest for those that are none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise InvalidRequest([Violation("request", f"is no {name}")]) from None


def _file_of(pool: Any, symbol: str) -> Any:
    """The file of a symbol; of a method, which pools do not find in Python, that of its service."""
    try:
        return pool.FindFileContainingSymbol(symbol)
    except KeyError:
        service, _, method = symbol.rpartition(".")
        found = pool.FindServiceByName(service)
        if method not in found.methods_by_name:
            raise
        return found.file


class JoinedPools:
    """Several pools as the reflection service asks one: the first that knows a name answers."""

    def __init__(self, pools: Sequence[descriptor_pool.DescriptorPool]) -> None:
        self._pools = pools

    def _first(self, find: Callable[[Any], Any]) -> Any:
        for pool in self._pools[:-1]:
            try:
                return find(pool)
            except KeyError:
                continue
        return find(self._pools[-1])

    def FindFileByName(self, name: str) -> FileDescriptor:
        """A file by its name; raises KeyError."""
        found: FileDescriptor = self._first(lambda pool: pool.FindFileByName(name))
        return found

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file of a message, a service, a method or another symbol; raises KeyError."""
        found: FileDescriptor = self._first(lambda pool: _file_of(pool, symbol))
        return found

    def FindMessageTypeByName(self, full_name: str) -> Descriptor:
        """A message; raises KeyError."""
        found: Descriptor = self._first(lambda pool: pool.FindMessageTypeByName(full_name))
        return found

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:
        """An extension of a message, looked up where the message is; raises KeyError."""
        pool: Any = message.file.pool
        found: FieldDescriptor = pool.FindExtensionByNumber(message, number)
        return found

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:
        """All extensions of a message."""
        pool: Any = message.file.pool
        found: list[FieldDescriptor] = pool.FindAllExtensions(message)
        return found
