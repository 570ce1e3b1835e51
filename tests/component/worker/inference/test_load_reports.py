"""Load reports as clients get them: in trailing metadata, as a stream, and by balancing."""

import base64
import json
import re
import subprocess
import threading
from typing import Any

import grpc
import pytest

from lepton.v1 import control_pb2, generation_pb2, text_pb2, text_pb2_grpc
from lepton_testing.hosted import Host, Served
from lepton_testing.tools import grpcurl
from lepton_worker.serving import orca

pytestmark = pytest.mark.component

TRAILER = re.compile(rf"^{orca.TRAILER_KEY}: (\S+)$", re.MULTILINE)
EMBED = ("lepton.v1.Text/Embed", {"inputs": ["x"]})
NAMED = {"requests_waiting", "requests_running", "waiting_tokens", "cache_usage_ratio"}


def reports(served: Served) -> Any:
    """The stream of reports, as often as there may be some."""
    ask = served.channel.unary_stream(
        f"/{orca.SERVICE}/StreamCoreMetrics",
        orca.ReportRequest.SerializeToString,
        orca.Report.FromString,
    )
    asked = orca.ReportRequest()
    asked.report_interval.FromMilliseconds(1)
    return ask(asked)


def report(served: Served) -> Any:
    """The first one."""
    call = reports(served)
    found = next(call)
    call.cancel()
    return found


@pytest.mark.skipif(grpcurl() is None, reason="grpcurl is not there; run: make cluster-build")
@pytest.mark.parametrize(
    ("method", "sent"),
    [
        EMBED,
        ("lepton.v1.Text/Embed", {}),
        ("lepton.v1.Control/GetLoad", {}),
        ("lepton.v1.Generation/Generate", {"text": "x"}),
        ("inference.GRPCInferenceService/ServerLive", {}),
        ("inference.GRPCInferenceService/ModelInfer", {}),
        ("inference.GRPCInferenceService/ModelStreamInfer", {}),
    ],
    ids=str,
)
def test_every_call_ends_with_a_report(echo: Served, method: str, sent: Any) -> None:
    # Not by a client of the same library: that one keeps this trailer for its balancers.
    command = [grpcurl(), "-plaintext", "-v", "-d", json.dumps(sent)]
    done = subprocess.run(
        [*map(str, command), f"127.0.0.1:{echo.server.port}", method],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    trailers = done.stdout.split("Response trailers received:")[1]
    (data,) = TRAILER.findall(trailers)
    found = orca.Report.FromString(base64.b64decode(data + "=" * (-len(data) % 4)))
    assert found.application_utilization == pytest.approx(orca.LEAST_UTILIZATION)
    assert set(found.named_metrics) == NAMED


def until_running(served: Served) -> None:
    tick = threading.Event()
    for _ in range(2000):
        load = served.control.GetLoad(control_pb2.GetLoadRequest())
        if (load.waiting, load.running) == (2, 1):
            return
        tick.wait(0.01)
    raise AssertionError("it never came to that")


def test_a_busy_worker_says_how_busy(slow: Served) -> None:
    streams = [
        slow.generation.Generate(generation_pb2.GenerateRequest(text="x" * 200)) for _ in range(3)
    ]
    try:
        until_running(slow)
        found = report(slow)
        # One runs, two wait, and one may run at a time.
        assert found.application_utilization == 3
        assert found.named_metrics["requests_waiting"] == 2
        assert found.named_metrics["requests_running"] == 1
        with pytest.raises(grpc.RpcError) as caught:
            list(slow.generation.Generate(generation_pb2.GenerateRequest(text="one too many")))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = report(slow)
        assert found.rps_fractional >= found.eps > 0
    finally:
        for item in streams:
            item.cancel()


def test_reports_come_as_a_stream_too(echo: Served) -> None:
    call = reports(echo)
    for _ in range(2):
        found = next(call)
        assert found.application_utilization == pytest.approx(orca.LEAST_UTILIZATION)
        assert set(found.named_metrics) == NAMED
    call.cancel()


def test_a_stock_client_prefers_the_worker_that_is_idle(host: Host) -> None:
    """A client of gRPC with a service config, and nothing of ours but the trailing metadata.

    It learns the weights in its own time; what is claimed is the share of calls it gives then.
    """
    idle, busy = (
        host.serve(backend="echo", model_name=name, echo_delay_ms=3.0, max_batch_size=2)
        for name in ("idle", "busy")
    )
    long = generation_pb2.GenerateRequest(
        text="x" * 4000, sampling=generation_pb2.Sampling(max_new_tokens=4000)
    )
    work = busy.generation.Generate(long)
    next(work)
    policy = {"blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}
    config = {"loadBalancingConfig": [{"weighted_round_robin": policy}]}
    addresses = ",".join(f"127.0.0.1:{one.server.port}" for one in (idle, busy))
    options = [("grpc.service_config", json.dumps(config))]
    with grpc.insecure_channel(f"ipv4:{addresses}", options=options) as channel:
        stub = text_pb2_grpc.TextStub(channel)

        def share() -> tuple[int, int]:
            before = answered(idle), answered(busy)
            for _ in range(40):
                stub.Embed(text_pb2.EmbedRequest(inputs=["x"]))
            return answered(idle) - before[0], answered(busy) - before[1]

        found = [share(), share()]
        while len(found) < 100 and not (found[-1][0] >= 32 and found[-2:][0][1] > 0):
            found.append(share())
    work.cancel()
    # In turns it would be 20 and 20. The round before had calls for both: both were connected.
    assert found[-1][0] >= 32
    assert found[-2:][0][1] > 0
    assert sum(found[-1]) == 40


def answered(served: Served) -> int:
    return int(served.sample("lepton_requests_total", code="OK"))
