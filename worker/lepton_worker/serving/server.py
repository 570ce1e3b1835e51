"""The gRPC server of a worker: services, health, reflection."""

import asyncio
import contextlib

import grpc.aio
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lepton.v1 import (
    control_pb2,
    control_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    text_pb2,
    text_pb2_grpc,
)
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import InvalidSetting
from lepton_worker.serving import orca
from lepton_worker.serving.accounts import Accounts
from lepton_worker.serving.control import ControlServicer
from lepton_worker.serving.generation import GenerationServicer
from lepton_worker.serving.inference import messages as inference
from lepton_worker.serving.inference.service import InferenceServicer
from lepton_worker.serving.interceptor import CallInterceptor, OpenCalls
from lepton_worker.serving.options import OPTIONS
from lepton_worker.serving.private_pool import JoinedPools
from lepton_worker.serving.text import TextServicer

SERVICES = (
    *(
        module.DESCRIPTOR.services_by_name[name].full_name
        for module, name in (
            (control_pb2, "Control"),
            (generation_pb2, "Generation"),
            (text_pb2, "Text"),
        )
    ),
    inference.SERVICE,
    orca.SERVICE,
)
LIVENESS, READINESS = "liveness", "readiness"
READY_NAMES = ("", READINESS, *SERVICES)

LAST_WRITES_SECONDS = 0.5
"""For what handlers have handed over already, and for watchers of the health service."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Server:
    """Up before the model is: calls are answered, if only with "loading"."""

    def __init__(self, worker: Worker) -> None:
        self._settings = worker.settings
        self._calls = OpenCalls()
        self.accounts = accounts = Accounts(worker.metrics, orca.reporter_of(worker))
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(accounts, self._calls)], options=OPTIONS
        )
        self._health = health.aio.HealthServicer()
        self.port = 0
        control_pb2_grpc.add_ControlServicer_to_server(ControlServicer(worker), self._server)
        generation_pb2_grpc.add_GenerationServicer_to_server(
            GenerationServicer(worker), self._server
        )
        text_pb2_grpc.add_TextServicer_to_server(TextServicer(worker), self._server)
        self._server.add_generic_rpc_handlers(
            (
                inference.POOL.handler(
                    inference.SERVICE, InferenceServicer(worker, accounts, self._calls)
                ),
                orca.POOL.handler(orca.SERVICE, orca.OpenRcaServicer(accounts.reporter)),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME],
            self._server,
            # Our own first: a client in the same process may have registered its `inference`.
            JoinedPools([inference.POOL.pool, orca.POOL.pool, descriptor_pool.Default()]),
        )

    async def start(self) -> None:
        """Listen; raises InvalidSetting if the port cannot be had."""
        address = f"{self._settings.host}:{self._settings.grpc_port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise InvalidSetting(f"cannot listen on {address}: {error}") from error
        await self._health.set(LIVENESS, SERVING)
        await self.set_ready(False)
        await self._server.start()

    async def set_ready(self, ready: bool) -> None:
        """Say whether a real answer would be given now."""
        for name in READY_NAMES:
            await self._health.set(name, SERVING if ready else NOT_SERVING)

    async def stop(self, grace: float) -> None:
        """End; calls that are open have `grace` seconds to do so by themselves."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._calls.none(), grace)
        await self._server.stop(LAST_WRITES_SECONDS)
