"""Pools of our own: what is found where, and what is not a message."""

import pytest
from google.protobuf import descriptor_pool

from lepton.v1 import text_pb2
from lepton_worker.errors import InvalidRequest
from lepton_worker.serving import orca
from lepton_worker.serving.inference import messages
from lepton_worker.serving.private_pool import JoinedPools, decoded

POOLS = JoinedPools([messages.POOL.pool, orca.POOL.pool, descriptor_pool.Default()])


def test_the_first_pool_that_knows_a_name_answers() -> None:
    for symbol in ("inference.ModelInferRequest", orca.SERVICE, "lepton.v1.Text"):
        assert symbol.rpartition(".")[0] == POOLS.FindFileContainingSymbol(symbol).package
    own = POOLS.FindMessageTypeByName("google.protobuf.Duration")
    assert own.file.pool is orca.POOL.pool
    assert POOLS.FindFileByName("lepton/v1/text.proto").name == text_pb2.DESCRIPTOR.name
    for find in (
        POOLS.FindFileByName,
        POOLS.FindFileContainingSymbol,
        POOLS.FindMessageTypeByName,
    ):
        with pytest.raises(KeyError):
            find("no.such.thing")


@pytest.mark.parametrize("service", ["inference.GRPCInferenceService", "lepton.v1.Text"])
def test_a_method_is_in_the_file_of_its_service(service: str) -> None:
    file = POOLS.FindFileContainingSymbol(service)
    method = next(iter(file.services_by_name.values())).methods[0].name
    assert POOLS.FindFileContainingSymbol(f"{service}.{method}").name == file.name
    with pytest.raises(KeyError):
        POOLS.FindFileContainingSymbol(f"{service}.NoMethod")


def test_extensions_are_asked_where_the_message_is() -> None:
    message = POOLS.FindMessageTypeByName("inference.ModelInferRequest")
    assert POOLS.FindAllExtensions(message) == []
    with pytest.raises(KeyError):
        POOLS.FindExtensionByNumber(message, 1000)


def test_bytes_that_are_no_message_are_told() -> None:
    assert decoded(messages.InferRequest, b"\x1a\x01x").id == "x"
    for data in (b"\xff", b"\x1a\x05x", b"\x1a\x01\xff"):
        with pytest.raises(InvalidRequest, match=r"is no inference\.ModelInferRequest"):
            decoded(messages.InferRequest, data)
