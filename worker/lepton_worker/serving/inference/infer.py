"""One ModelInferRequest from its seat to its answer, or answers where a text grows."""

import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any, cast

from lepton_worker.engine.worker import Worker
from lepton_worker.request import Task
from lepton_worker.serving.calls import Context
from lepton_worker.serving.convert import MOST_INPUTS
from lepton_worker.serving.desk import Seat, seated
from lepton_worker.serving.inference import messages, parameters, sampling_parameters, writing
from lepton_worker.serving.inference.answer import Answer
from lepton_worker.serving.inference.encoders import encode
from lepton_worker.serving.inference.facts import check_version
from lepton_worker.serving.inference.options import NAMES, Options, from_inputs, options
from lepton_worker.serving.inference.parameters import OF_TASK, Parameters
from lepton_worker.serving.inference.prompts import MOST_PROMPTS, Order, check_parts, prepare
from lepton_worker.serving.inference.signatures import signature
from lepton_worker.serving.inference.statistics import Statistics
from lepton_worker.serving.inference.tensors import (
    Spec,
    Tensor,
    encoded,
    read_inputs,
    wanted_outputs,
)
from lepton_worker.serving.text_run import OpenCall

GENERATING = NAMES | sampling_parameters.NAMES
"""Parameters of models that generate."""


@dataclass(frozen=True)
class Limited:
    """The context of a call as the desk asks it, with the time limit of one request."""

    context: Context
    until: float | None

    def time_remaining(self) -> float | None:
        """Seconds until the earlier one of both limits."""
        left = self.context.time_remaining()
        if self.until is None:
            return left
        own = self.until - time.monotonic()
        return own if left is None else min(own, left)

    def invocation_metadata(self) -> Any:
        """What the call was sent with."""
        return self.context.invocation_metadata()


@dataclass(frozen=True)
class Form:
    """How the answers to a request are written: echoes and outputs."""

    id: str
    model_name: str
    wanted: list[Spec]

    def message(self, answer: Answer, final: bool | None = None) -> Any:
        """A ModelInferResponse; `final` only in streams."""
        response = messages.InferResponse(
            id=self.id, model_name=self.model_name, model_version=messages.VERSION
        )
        for spec in self.wanted:
            values = answer.outputs[spec.name]
            shape = [len(values)] if isinstance(values, list) else values.shape
            response.outputs.add(name=spec.name, datatype=spec.datatypes[0], shape=shape)
            response.raw_output_contents.append(encoded(spec.datatypes[0], values))
        for name, count in answer.usage.items():
            response.parameters[name].int64_param = count
        if final is not None:
            response.parameters[parameters.FINAL].bool_param = final
        return response


@dataclass(frozen=True)
class Opened:
    """A request that has its seat, and whose tensors fit the model."""

    seat: Seat
    parameters: Parameters
    tensors: dict[str, Tensor]
    form: Form
    options: Options


class Inference:
    """Answers requests; each is counted in the statistics."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.statistics = Statistics()

    async def whole(self, request: Any, context: Context) -> Any:
        """One answer, however long it takes."""
        with self._counted() as done, self._opened(request, context) as opened:
            answer = await self._answer(opened)
            done.append(answer)
            return opened.form.message(answer)

    async def stream(self, request: Any, context: Context) -> AsyncGenerator[Any, None]:
        """The same in any number of answers, of which the last one says so."""
        with self._counted() as done, self._opened(request, context) as opened:
            if opened.seat.model.task is not Task.GENERATE or opened.options.stream is False:
                answer = await self._answer(opened)
                done.append(answer)
                yield opened.form.message(answer, final=True)
                return
            check_parts(opened.options, opened.parameters, growing=True)
            order = await self._order(opened)
            async with contextlib.aclosing(writing.growing(opened.seat, order)) as answers:
                async for answer, last in answers:
                    if last:
                        done.append(answer)
                    yield opened.form.message(answer, final=last)

    @contextlib.contextmanager
    def _opened(self, request: Any, context: Context) -> Generator[Opened, None, None]:
        """A seat for a request; raises what is wrong with it."""
        sent = Parameters(request.parameters)
        asked = parameters.asked(request.model_name, sent)
        check_version(self._worker, request.model_version)
        until = None if asked.seconds is None else time.monotonic() + asked.seconds
        limited = cast("Context", Limited(context, until))
        with seated(self._worker, frozenset(Task), asked.meta, limited, "ModelInfer") as seat:
            model = seat.model
            own = signature(model)
            generates = model.task is Task.GENERATE
            tensors = read_inputs(request, own.inputs, MOST_PROMPTS if generates else MOST_INPUTS)
            if generates:
                tensors = from_inputs(tensors, sent)
                sampling_parameters.opened(sent)
            sent.check_known(GENERATING if generates else OF_TASK[model.task], model.task)
            chosen = options(sent)
            named = wanted_outputs(request, own.outputs) if request.outputs else []
            name = request.model_name or self._worker.settings.model_name
            form = Form(request.id, name, chosen.wanted(named, own.outputs, "tools" in sent))
            yield Opened(seat, sent, tensors, form, chosen)

    async def _answer(self, opened: Opened) -> Answer:
        seat, model = opened.seat, opened.seat.model
        if model.task is Task.GENERATE:
            check_parts(opened.options, opened.parameters, growing=False)
            order = await self._order(opened)
            return await writing.written(seat, order, opened.options.echo)
        asked = parameters.reads(opened.parameters, tuple(model.prompts), model.dimensions)
        return await encode(OpenCall(self._worker, seat, model.task), opened.tensors, asked)

    async def _order(self, opened: Opened) -> Order:
        wanted = [spec.name for spec in opened.form.wanted]
        model, sent = opened.seat.model, opened.parameters
        return await prepare(self._worker, model, opened.tensors, sent, wanted)

    @contextlib.contextmanager
    def _counted(self) -> Generator[list[Answer], None, None]:
        """Whether an answer was put into the list decides how the request counts."""
        begun = time.monotonic_ns()
        done: list[Answer] = []
        try:
            yield done
        finally:
            taken = time.monotonic_ns() - begun
            if done:
                self.statistics.answered(done[0], taken)
            else:
                self.statistics.failed(taken)
