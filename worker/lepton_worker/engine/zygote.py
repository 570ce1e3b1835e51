"""The warm parent of engines: it has imported what an engine needs and forks one when told to.

Importing torch and transformers takes seconds, a fork takes milliseconds. The zygote itself starts
no thread and touches no device: what a fork would copy has to be at rest. It is forked from the
front before that has threads of its own, and ends with it.
"""

import ctypes
import gc
import importlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence

from lepton_worker.engine.process_port import ProcessPort

log = logging.getLogger(__name__)

Main = Callable[[ProcessPort, float], None]
"""What an engine runs; told how many seconds the imports took that it finds done."""

SPAWN = b"S"
PR_SET_PDEATHSIG = 1
FAILED = 1


def fork_zygote(main: Main, modules: Sequence[str]) -> tuple[int, socket.socket]:
    """Fork the zygote; returns its process id and the socket it is told through.

    To be called while the process has one thread and no gRPC object.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child:
        theirs.close()
        return child, ours
    try:
        ours.close()
        end_with_parent()
        _serve(theirs, main, modules)
    except BaseException:
        log.exception("the parent of engines failed")
        os._exit(FAILED)
    os._exit(0)


def end_with_parent() -> None:
    """Leave signals of the terminal to the front, and end when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _serve(control: socket.socket, main: Main, modules: Sequence[str]) -> None:
    imported = _import(modules)
    gc.collect()
    gc.freeze()
    gc.enable()
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken)
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _report_ends(control)
        if control.fileno() in ready:
            order, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not order:
                return
            _fork_engine(control, descriptors[0], main, imported)
            imported = 0.0


def _import(modules: Sequence[str]) -> float:
    """Import what engines will need; returns the seconds.

    What fails here fails again in the engine, which has the words for it. Nearly nothing of what an
    import makes is garbage, so that collecting it, over and over, would be a fifth of the time.
    """
    begun = time.monotonic()
    gc.disable()
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception:
        log.debug("an import failed ahead of the engine", exc_info=True)
    return time.monotonic() - begun


def _fork_engine(control: socket.socket, descriptor: int, main: Main, imported: float) -> None:
    if os.fork():
        os.close(descriptor)
        return
    status = FAILED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        end_with_parent()
        main(ProcessPort(socket.socket(fileno=descriptor)), imported)
        status = 0
    except Exception:
        log.exception("the engine failed")
    finally:
        logging.shutdown()
        os._exit(status)


def _report_ends(control: socket.socket) -> None:
    """Tell the front how engines ended."""
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if child == 0:
            return
        control.sendall(f"{how_it_ended(os.waitstatus_to_exitcode(status))}\n".encode())


def how_it_ended(code: int) -> str:
    """An exit code in words; negative ones are signals."""
    if code == -signal.SIGKILL:
        return "it was killed (SIGKILL): most often for lack of memory"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with status {code}"
