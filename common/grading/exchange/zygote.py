"""The process that students' processes are forked from, with torch loaded once; it runs no student's code itself.

    python zygote.py FD ELSEWHERE RECORDING

FD is a socket for orders, the two others are files of common/testing. An order starts a room: a process that
moves into a student's namespaces, takes orders of its own on the socket that comes with the first one, and
forks once for each problem:

    {"room": 4711 or null, "account": 60001 or null}  with a socket -> {"ready": true} there
    {"seconds": 20, "memory": 2147483648, ...}        with a socket -> {"began": 12}, then {"ended": 0}
    {"end": 12}                                       kills what is running
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, _HERE)

import torch  # noqa: E402
from exchange import agent, confine  # noqa: E402  # ty: ignore[import-not-found]
from exchange.wire import Over, Wire  # noqa: E402  # ty: ignore[import-not-found]

# Neither these modules nor the course's are to be had by a student's import.
sys.path[:] = [p for p in sys.path if p != _HERE and not Path(p, "common", "course").is_dir()]

_LONGEST = 1 << 16  # bytes of an order


def load(path: str) -> ModuleType:
    """A module by its file alone."""
    name = f"exchange.{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def warm_up() -> None:
    """Do once what every student's code would have to wait for."""
    torch.set_num_threads(1)
    layer = torch.nn.Linear(8, 8)
    loss = torch.nn.functional.cross_entropy(layer(torch.randn(8, 8)).softmax(-1), torch.arange(8))
    loss.backward()
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        kind(layer.parameters()).step()
    gc.collect()
    gc.freeze()  # objects made so far are never visited again: the children share their pages


def told(orders: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next order and the descriptors that came with it; None at the end."""
    data, handles, _, _ = socket.recv_fds(orders, _LONGEST, 4)
    return (json.loads(data), handles) if data else None


def say(orders: socket.socket, **what: Any) -> None:
    """Answer, if anybody is still there to hear it."""
    with contextlib.suppress(OSError):
        orders.send(json.dumps(what).encode())


class Zygote:
    def __init__(self, orders: socket.socket, elsewhere: ModuleType, recording: ModuleType) -> None:
        self.orders, self.elsewhere, self.recording = orders, elsewhere, recording
        self.size = confine.size()

    def serve(self) -> None:
        """Start a room at each order."""
        say(self.orders, ready=True, filter=confine.can_filter(), hide=confine.can_hide())
        while (order := told(self.orders)) is not None:
            what, (handle,) = order
            if (child := os.fork()) == 0:
                _end_with(self._room, what, handle)
            os.close(handle)
            os.waitpid(child, 0)

    def _room(self, what: dict[str, Any], handle: int) -> None:
        """Enter the room and fork into it; the process that is left in between ends."""
        os.setsid()
        orders = socket.socket(fileno=handle)
        try:
            if what["room"] is not None:
                confine.enter(what["room"])
        except OSError as error:
            say(orders, failed=str(error))
            return
        if os.fork() == 0:
            self.orders.close()
            _end_with(self._serve_problems, orders, what)

    def _serve_problems(self, orders: socket.socket, what: dict[str, Any]) -> None:
        say(orders, ready=True)
        while (order := told(orders)) is not None:
            limits, handles = order
            if not handles:
                continue  # an end that came too late
            child = os.fork()
            if child == 0:
                orders.close()
                _end_with(self._run, what | limits, handles[0])
            os.close(handles[0])
            say(orders, began=child)
            say(orders, ended=_wait(child, orders, alone=what["room"] is not None))

    def _run(self, what: dict[str, Any], handle: int) -> None:
        """Give everything up and let the student's file answer."""
        keep = 3
        os.dup2(handle, keep)
        with open(os.devnull, "r+b") as null:
            for stream in range(3):
                os.dup2(null.fileno(), stream)
        os.closerange(keep + 1, 1 << 16)
        os.chdir(what["folder"])
        os.environ.clear()
        os.environ |= {
            "HOME": what["folder"],
            "TMPDIR": what["folder"],
            "HF_HUB_OFFLINE": "1",
            "LANG": "C.UTF-8",
        }
        memory = self.size + what["memory"]
        confine.limit(seconds=what["seconds"], memory=memory, processes=what["processes"])
        confine.become(what["account"])
        if what["hide"]:
            confine.see_only([Path(p) for p in what["readable"]], [Path(what["folder"])])
        if what["filter"]:
            confine.filter_calls()
        wire = Wire(socket.socket(fileno=keep))
        agent.Agent(wire, self.elsewhere, self.recording, Path(what["folder"])).serve()


def _wait(child: int, orders: socket.socket, *, alone: bool) -> int:
    """How a child ended; it is ended when an order says so, or when nobody gives orders any more.

    Args:
        alone: nobody else's processes are to be seen here, so whatever it left behind can be ended too.
    """
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(orders, select.POLLIN)
    while not any(ready == handle for ready, _ in poll.poll()):
        order = told(orders)
        if order is None or order[0].get("end") == child:
            os.kill(child, signal.SIGKILL)
            break
    os.close(handle)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if alone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    return status


def _end_with(work: Any, *arguments: Any) -> None:
    """Do the work of a forked process; nothing of what this process came from runs after it."""
    try:
        work(*arguments)
    except Over:
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(BaseException):
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Warm up, and serve until nobody gives orders any more."""
    handle, elsewhere, recording = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process
    warm_up()
    Zygote(socket.socket(fileno=int(handle)), load(elsewhere), load(recording)).serve()


if __name__ == "__main__":
    main()
