"""Which library multiplies int8 on this machine: the faster one of those that are exact."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from lepton_worker.backends.linears.int8 import Route, RowwiseInt8
from lepton_worker.backends.linears.kernels import first_line
from lepton_worker.backends.linears.timing import least_seconds

ONEDNN, FBGEMM, SEVEN_BITS = Route("onednn", 127), Route("fbgemm", 127), Route("fbgemm", 63)
EXACT_WIDTH = 256
ROWS = (1, 4, 16, 128)
"""Steps of few texts, of many, and pieces of prompts: one packing of the weights serves all."""
SHAPE = (2048, 768)
BUDGET = 0.2
WORTH_IT = 1.05
"""How many times as fast fbgemm has to be: less is noise, and workers should choose alike."""


@dataclass(frozen=True)
class Tried:
    """The route to take, None where there is none, and a clause for users that says why."""

    route: Route | None
    words: str


def best_route() -> Route | str:
    """The route for this machine, or why there is none."""
    found = _tried()
    return found.route or found.words


def route_words() -> str:
    """What multiplies here, and what the trial saw if there was one."""
    return _tried().words


@cache
def _tried() -> Tried:
    """oneDNN and fbgemm are timed where both are exact at full scale: with VNNI or AMX.

    oneDNN is the faster one for many rows with AMX; without AMX fbgemm is for few. Without VNNI
    oneDNN is several times slower than fbgemm.
    """
    faults = {route: why_inexact(route) for route in (ONEDNN, FBGEMM)}
    if not any(faults.values()):
        return faster(*_timings())
    for route, fault in (*faults.items(), (SEVEN_BITS, why_inexact(SEVEN_BITS))):
        if not fault:
            return Tried(route, f"multiplied by {route.library}, the only exact library here")
    return Tried(None, f"this torch cannot run int8 weights here ({faults[ONEDNN]})")


def faster(onednn: Mapping[int, float], fbgemm: Mapping[int, float]) -> Tried:
    """The route by the seconds that both take for the same numbers of rows.

    The geometric mean over the numbers of rows decides, in favour of oneDNN within the noise.
    """
    ratios = {rows: onednn[rows] / fbgemm[rows] for rows in onednn}
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    route = FBGEMM if mean >= WORTH_IT else ONEDNN
    listed = ", ".join(f"{ratio:.2f} with {rows}" for rows, ratio in ratios.items())
    return Tried(
        route,
        f"multiplied by {route.library} (fbgemm is so many times as fast as oneDNN: {listed} rows)",
    )


def _timings() -> tuple[Mapping[int, float], Mapping[int, float]]:
    """Seconds by numbers of rows, of oneDNN and of fbgemm."""
    least = least_seconds(_layers, SHAPE, ROWS, BUDGET)
    return least["onednn"], least["fbgemm"]


def _layers(shape: tuple[int, int]) -> dict[str, nn.Module]:
    weight = torch.randn(shape)
    return {route.library: RowwiseInt8(weight, None, route) for route in (ONEDNN, FBGEMM)}


def why_inexact(route: Route) -> str:
    """What is wrong with a route, or nothing: the largest levels have to add up unsaturated."""
    weight = torch.ones(EXACT_WIDTH, EXACT_WIDTH)
    try:
        kernel = RowwiseInt8(weight, None, route)
        results = [kernel(torch.ones(rows, EXACT_WIDTH)) for rows in (1, 5)]
    except (AttributeError, RuntimeError, TypeError) as error:
        return first_line(error)
    if all(torch.allclose(one, torch.tensor(float(EXACT_WIDTH)), rtol=1e-3) for one in results):
        return ""
    return f"{route.library} saturates with {route.levels} levels"
