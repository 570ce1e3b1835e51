"""`engine --prepare`: all that takes long before anything can be measured, and nothing else."""

import asyncio
from collections.abc import Callable

from rich.console import Console

from lepton_bench.engine import installs
from lepton_bench.engine.environments import Unavailable
from lepton_bench.engine.models import SHAPES, ensure
from lepton_bench.engine.options import Options


async def prepare(options: Options, console: Console) -> int:
    """Install every peer, make the models and write them in the peers' forms; 1 if one failed."""
    failed = 0
    for name, step in _steps(options):
        console.print(name, highlight=False)
        try:
            await asyncio.to_thread(step)
        except Unavailable as error:
            console.print(f"  {error}", style="bold red", markup=False)
            failed = 1
    return failed


def _steps(options: Options) -> list[tuple[str, Callable[[], object]]]:
    sizes = options.sizes
    decoder, encoders = SHAPES[sizes.decoder], [SHAPES[name] for name in sizes.encoders]
    models = [(f"model {name}", lambda name=name: ensure(name)) for name in _names(options)]
    peers = [(made.folder.name, made.ensure) for made in installs.ENVIRONMENTS]
    onnx = [
        (f"{shape.name} as ONNX", lambda shape=shape: installs.export_onnx(shape))
        for shape in encoders
    ]
    gguf = [
        (f"{decoder.name} as GGUF, {kind}", lambda kind=kind: installs.export_gguf(decoder, kind))
        for kind in ("f16", "bf16", "q8_0")
    ]
    return [*models, *peers, (installs.LLAMA.requirement, installs.LLAMA.ensure), *onnx, *gguf]


def _names(options: Options) -> list[str]:
    return [*options.sizes.encoders, options.sizes.decoder]
