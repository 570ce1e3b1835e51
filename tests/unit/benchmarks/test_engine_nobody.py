"""A run in which nobody can take part: every figure is there, without a value and with a reason."""

import pytest

from lepton_bench import page
from lepton_bench.engine.context import Context, Limits
from lepton_bench.engine.models import SHAPES, Shape
from lepton_bench.engine.options import PARTS, parse
from lepton_bench.engine.order import Cores
from lepton_bench.engine.parts import exact
from lepton_bench.engine.roster import Roster
from lepton_bench.engine.suite import MEASURES
from lepton_bench.engine.workload import Writer

RATES = {"float32": 1e9, "float16-packed": 1e9, "int8": 1e9}
READ = dict.fromkeys(("float32", "float16", "bfloat16", "int8"), 1e9)


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    async def no_report(context: Context) -> str:
        return ""

    def shape(self: Context, name: str) -> Shape:
        return SHAPES[name]

    def writer(self: Context, shape: Shape) -> Writer:
        return Writer(["ba"], lambda text: 1, 1)

    monkeypatch.setattr(Context, "shape", shape)
    monkeypatch.setattr(Context, "writer", writer)
    monkeypatch.setattr(exact, "report", no_report)
    options = parse(["--quick", "--ours", "int8", "--peers"])
    # A worker without `--quantization` cannot hold its weights as int8.
    roster = Roster(Cores((0,), (0,)), ("worker",), frozenset())
    return Context(options, roster, lambda text: None, Limits(1e9, READ, RATES))


async def test_every_figure_with_an_aim_comes_from_a_part(context: Context) -> None:
    for part in PARTS:
        await MEASURES[part](context)
    found = {figure.name: figure for figure in context.figures}
    aims = {name for name in page.AIMS if name.startswith("engine.")}
    assert aims <= set(found)
    assert {name for name in aims if found[name].value is not None or not found[name].note} == set()
    assert len(found) == len(context.figures)
    assert context.curves == []
