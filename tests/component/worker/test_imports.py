"""What an engine's imports bring along, each in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.component

AHEAD = "import sys, torch, lepton_worker.backends.ahead\n"
MARKED = """
import importlib, torch
from lepton_worker.backends.compiler_later import compiler_later

def constant(): return 1
def plain(x): return x + 1

with compiler_later():
    plain = torch.compiler.disable(plain)
    same = torch._dynamo.assume_constant_result(constant)
    here = importlib.import_module("torch._dynamo._trace_wrapped_higher_order_op")
assert same is constant and plain(1) == 2
"""


def run(program: str) -> str:
    """What a program prints; its errors are the test's."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_engine_imports_no_compiler() -> None:
    listed = "print(*(name for name in sys.modules if name.startswith('torch._')))"
    names = run(AHEAD + listed).split()
    assert "torch._C" in names
    assert "torch._dynamo" not in names
    assert "torch._inductor" not in names


def test_a_loaded_engine_has_imported_no_compiler(samples: Path) -> None:
    asked = f"""
from pathlib import Path
from lepton_worker.engine.load import load
from lepton_worker.engine.messages import Source
from lepton_worker.settings import read_settings
folder = {str(samples / "llama")!r}
load(read_settings({{"source": folder}}, {{}}), Source(Path(folder)), lambda phase, seconds: None)
print("torch._dynamo" in sys.modules)
"""
    assert run(AHEAD + asked) == "False\n"


def test_an_engine_imports_nothing_for_models_over_several_processes() -> None:
    asked = """
assert "torch.distributed.tensor" not in sys.modules
print(torch.distributed.is_available())
"""
    assert run(AHEAD + asked) == "True\n"


def test_a_table_that_is_read_once_is_what_reading_it_again_gives() -> None:
    asked = """
import transformers.models as models
from transformers.utils import import_utils
again = import_utils.define_import_structure.__wrapped__(models.__file__)
plain = import_utils._LazyModule("again", models.__file__, again)
print(plain._class_to_module == models._class_to_module and plain._modules == models._modules)
"""
    assert run(AHEAD + asked) == "True\n"


def test_marks_reach_the_compiler_when_it_is_imported_after_all() -> None:
    asked = """
import torch._dynamo
assert constant._dynamo_marked_constant
assert torch._dynamo._trace_wrapped_higher_order_op is here
seen = []
def backend(graph, inputs):
    seen.extend(str(node.target) for node in graph.graph.nodes)
    return graph.forward
f = torch.compile(lambda x: plain(x * 3) * 5, backend=backend)
assert f(torch.ones(1)).item() == 20
print(*seen)
"""
    traced = run(MARKED + asked)
    assert "mul" in traced
    assert "add" not in traced


def test_what_is_no_mark_brings_the_compiler_in_at_once() -> None:
    asked = """
with compiler_later():
    other = torch.compiler.disable(lambda x: x - 1)
    assert "torch._dynamo" in sys.modules and torch._dynamo.config.verbose in (True, False)
    assert torch._dynamo.is_compiling is importlib.import_module("torch._dynamo").is_compiling
assert other(1) == 0 and type(torch._dynamo).__name__ == "module"
print(constant._dynamo_marked_constant)
"""
    assert run("import sys\n" + MARKED + asked) == "True\n"


def test_a_compiler_that_is_there_stays() -> None:
    program = """
import sys, torch._dynamo
from lepton_worker.backends.compiler_later import compiler_later
before = sys.modules["torch._dynamo"]
with compiler_later():
    assert sys.modules["torch._dynamo"] is before
print(torch._dynamo is before)
"""
    assert run(program) == "True\n"
