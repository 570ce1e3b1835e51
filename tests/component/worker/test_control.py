"""The service Control: watching the load, profiling steps, adapters that cannot be."""

import json
import threading
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Host, Served

pytestmark = pytest.mark.component

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def encoder(host: Host, samples: Path) -> Served:
    return host.serve(source=str(samples / "bert-encoder"), model_name="profiled")


def code_of(call: object, request: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)  # type: ignore[operator]
    return caught.value.code(), str(caught.value.details())


def test_the_load_is_told_again_and_again(encoder: Served) -> None:
    interval = duration_pb2.Duration(nanos=100_000_000)
    loads = encoder.control.WatchLoad(control_pb2.WatchLoadRequest(interval=interval), timeout=20)
    told = [next(loads), next(loads), next(loads)]
    loads.cancel()
    assert all((load.waiting, load.running) == (0, 0) for load in told)
    assert told[0].max_running >= 1


def test_an_interval_may_not_be_too_short(encoder: Served) -> None:
    interval = duration_pb2.Duration(nanos=1)
    with pytest.raises(grpc.RpcError) as caught:
        next(encoder.control.WatchLoad(control_pb2.WatchLoadRequest(interval=interval)))
    assert caught.value.code() is Code.INVALID_ARGUMENT


def test_a_profile_says_where_the_steps_went(encoder: Served) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            encoder.text.Embed(text_pb2.EmbedRequest(inputs=["the harbour lights"]), timeout=20)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        request = control_pb2.ProfileRequest(steps=3, trace=True)
        profile = encoder.control.Profile(request, timeout=60)
    finally:
        done.set()
        asking.join()
    assert profile.steps == 3
    assert any("linear" in item.name or "addmm" in item.name for item in profile.operators)
    assert json.loads(profile.trace)["traceEvents"]


def test_a_profile_that_nobody_waits_for_ends(encoder: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        encoder.control.Profile(control_pb2.ProfileRequest(steps=5), timeout=0.5)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    test_a_profile_says_where_the_steps_went(encoder)


def test_adapters_that_cannot_be_are_refused_in_words(encoder: Served, tmp_path: Path) -> None:
    load = encoder.control.LoadAdapter
    code, text = code_of(load, control_pb2.LoadAdapterRequest(name="-", source="x"))
    assert (code, "name" in text) == (Code.INVALID_ARGUMENT, True)
    code, text = code_of(load, control_pb2.LoadAdapterRequest(name="a", source=str(tmp_path)))
    assert (code, "adapter_config.json" in text) == (Code.FAILED_PRECONDITION, True)
    code, text = code_of(
        encoder.control.UnloadAdapter, control_pb2.UnloadAdapterRequest(name="unknown")
    )
    assert (code, "unknown" in text) == (Code.NOT_FOUND, True)
    request = text_pb2.EmbedRequest(inputs=["x"])
    request.meta.model = "profiled:nobody"
    code, text = code_of(encoder.text.Embed, request)
    assert (code, "nobody" in text) == (Code.NOT_FOUND, True)
    listed = encoder.control.ListAdapters(control_pb2.ListAdaptersRequest())
    assert list(listed.adapters) == []
