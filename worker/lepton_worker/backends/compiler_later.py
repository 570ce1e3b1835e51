"""Import modules that mark functions for torch's compiler without importing the compiler.

`torch._dynamo` takes the better part of a second to import, and pulls in sympy and torch._inductor.
transformers touches it while it is imported, only to mark functions: `torch.compiler.disable` here,
`allow_in_graph` there. Nothing of ours compiles. So a stand-in takes the marks and plays them back
should the compiler be imported after all; whatever else it is asked for brings the real one in.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"
MARKS = ("allow_in_graph", "assume_constant_result")
"""Decorators of the compiler that return the function that they are given."""


@contextmanager
def compiler_later() -> Iterator[None]:
    """Keep what is imported inside from importing `torch._dynamo`; to be used by one thread.

    Does nothing where that is imported already, or is no package here.
    """
    spec = importlib.machinery.PathFinder.find_spec(NAME, list(torch.__path__))
    if NAME in sys.modules or spec is None or not spec.submodule_search_locations:
        yield
        return
    stand_in = _StandIn(list(spec.submodule_search_locations))
    sys.modules[NAME] = stand_in
    vars(torch)["_dynamo"] = stand_in
    try:
        yield
    finally:
        stand_in.step_aside()


class _StandIn(ModuleType):
    """`torch._dynamo` as far as marking functions goes; its path is the real one's."""

    def __init__(self, path: list[str]) -> None:
        super().__init__(NAME)
        self.__path__ = path
        self._play: list[Callable[[Any], None]] = []
        for name in MARKS:
            setattr(self, name, functools.partial(self._mark, name))

    def __getattr__(self, name: str) -> Any:
        """What is no mark is the real module's."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def step_aside(self) -> None:
        """Make way for the real module, whenever somebody wants it."""
        if sys.modules.get(NAME) is self:
            sys.meta_path.insert(0, _Replay(self._play))
            del sys.modules[NAME]
            delattr(torch, "_dynamo")

    def disable(self, fn: Any = None, recursive: bool = True, **options: Any) -> Any:
        """As `torch._dynamo.disable`: a wrapper that is the real one's once that is there."""
        if not self._stands() or not (fn is None or isinstance(fn, FunctionType)):
            return self._real().disable(fn, recursive, **options)
        if fn is None:
            return lambda function: self.disable(function, recursive, **options)
        called: Callable[..., Any] = fn

        @functools.wraps(fn)
        def disabled(*args: Any, **kwargs: Any) -> Any:
            return called(*args, **kwargs)

        def play(real: Any) -> None:
            nonlocal called
            called = real.disable(fn, recursive, **options)

        # What the compiler looks for in a function that it meets.
        disabled.__dict__["_torchdynamo_disable"] = True
        self._play.append(play)
        return disabled

    def _mark(self, name: str, fn: Any) -> Any:
        if not self._stands():
            return getattr(self._real(), name)(fn)
        self._play.append(lambda real: getattr(real, name)(fn))
        return fn

    def _stands(self) -> bool:
        return sys.modules.get(NAME) is self

    def _real(self) -> Any:
        self.step_aside()
        return importlib.import_module(NAME)


class _Replay(importlib.abc.MetaPathFinder):
    """Marks once more, as soon as the real module is imported, what the stand-in was told to."""

    def __init__(self, play: list[Callable[[Any], None]]) -> None:
        self._play = play

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Of `torch._dynamo` alone, and once."""
        if fullname != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_play(module: ModuleType) -> None:
                execute(module)
                self._replay(module)

            vars(spec.loader)["exec_module"] = execute_and_play
        return spec

    def _replay(self, real: ModuleType) -> None:
        # Parts that were imported below the stand-in are the real module's as well.
        for name, part in list(sys.modules.items()):
            parent, _, last = name.rpartition(".")
            if parent == NAME and not hasattr(real, last):
                setattr(real, last, part)
        for play in self._play:
            play(real)
