"""The worker as a target, over gRPC."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton.v1 import (
    common_pb2,
    control_pb2,
    control_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    text_pb2,
    text_pb2_grpc,
)
from lepton_bench.engine.target import Piece, Refused
from lepton_bench.engine.workload import Item

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


class GrpcTarget:
    """A worker on this machine that generates, classifies or embeds."""

    def __init__(self, port: int, task: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
        self._generation = generation_pb2_grpc.GenerationStub(self._channel)
        self._text = text_pb2_grpc.TextStub(self._channel)
        self._control = control_pb2_grpc.ControlStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._task = task

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def serving(self) -> bool:
        """Whether it says that it serves."""
        try:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def in_hand(self) -> int:
        """Requests that wait or run, by its own count."""
        load = await self._control.GetLoad(control_pb2.GetLoadRequest(), timeout=10)
        return int(load.waiting + load.running)

    async def choices(self) -> dict[str, str]:
        """What it chose by itself: backend, dtype and so on."""
        info = await self._control.GetModelInfo(control_pb2.GetModelInfoRequest(), timeout=10)
        return {"backend": info.backend, "dtype": info.dtype, **info.choices}

    async def ask(self, item: Item) -> AsyncGenerator[Piece, None]:
        """Ask for what its task is."""
        try:
            if self._task == "generate":
                async with aclosing(self._generate(item)) as pieces:
                    async for piece in pieces:
                        yield piece
            else:
                yield Piece(0, values=await self._encode(item))
        except grpc.aio.AioRpcError as error:
            raise Refused(error.code().name) from None

    async def _generate(self, item: Item) -> AsyncGenerator[Piece, None]:
        call = self._generation.Generate(
            generation_pb2.GenerateRequest(
                meta=_meta(item),
                text=item.text,
                sampling=generation_pb2.Sampling(
                    max_new_tokens=item.new_tokens, temperature=0, ignore_eos=True
                ),
            ),
            timeout=item.patience,
            metadata=_objectives(item),
        )
        try:
            async for event in call:
                if event.WhichOneof("event") == "delta":
                    yield Piece(len(event.delta.token_ids), event.delta.text)
        finally:
            call.cancel()  # does nothing to a call that has ended

    async def _encode(self, item: Item) -> list[float]:
        if self._task == "classify":
            request = text_pb2.ClassifyRequest(meta=_meta(item), inputs=[item.text])
            found = (await self._text.Classify(request)).results[0]
            if found.HasField("error"):
                raise Refused(f"code {found.error.code}")
            return [label.score for label in sorted(found.labels, key=lambda label: label.name)]
        wanted = text_pb2.EmbedRequest(meta=_meta(item), inputs=[item.text])
        vector = (await self._text.Embed(wanted)).results[0]
        if vector.HasField("error"):
            raise Refused(f"code {vector.error.code}")
        return [float(value) for value in np.frombuffer(vector.values, "<f4")]


def _meta(item: Item) -> common_pb2.RequestMeta:
    return common_pb2.RequestMeta(tenant=item.tenant)


def _objectives(item: Item) -> list[tuple[str, str]]:
    wanted = {"x-slo-ttft-ms": item.ttft, "x-slo-tpot-ms": item.tpot}
    return [(key, f"{1000 * value:.1f}") for key, value in wanted.items() if value is not None]
