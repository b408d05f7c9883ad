"""The server: an address on this machine alone, a browser that opens it, and an end without remains."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import webbrowser
from types import FrameType

import uvicorn

from common.course.catalogue import Problem
from common.errors import CourseError, UsageError
from common.learner import progress
from common.web import markdown
from common.web.app import application
from common.web.hub import Hub
from common.web.security import Door, secret

PORT = 8017
_TRIED = 20  # ports from there on
_HOST = "127.0.0.1"


def serve(
    start: Problem | None, *, port: int | None, limit: float, think: bool, browser: bool
) -> None:
    """Serve until Ctrl-C.

    Args:
        start: the page that opens; None is the road.
        port: the one to listen on; None is the first free one from PORT on.

    Raises:
        CourseError: the port, or every one that was tried, is taken.
    """
    listening = listen(port)
    door = Door(listening.getsockname()[1], secret(progress.FOLDER / "web-key"))
    path = markdown.address(start) if start else "/"
    watched = start if start and not start.is_interview else None
    print(f"The course is at\n\n    {door.address(path, door.token)}\n")
    print("for this machine alone, and for whoever has this address. Ctrl-C ends it.", flush=True)
    if browser:
        address = door.address(path, door.ticket())
        threading.Timer(0.2, webbrowser.open, [address]).start()
    hub = Hub(limit, think=think)
    config = uvicorn.Config(
        application(door, hub, watched), log_level="warning", access_log=False, server_header=False,
        ws="none", http="h11", proxy_headers=False, timeout_graceful_shutdown=1, lifespan="on",
    )  # fmt: skip
    with listening:
        asyncio.run(Server(config, hub).serve(sockets=[listening]))


class Server(uvicorn.Server):
    """Lets go of the pages' streams when it is to end, which would otherwise keep it up."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self.hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come."""
        self.hub.hang_up()
        super().handle_exit(sig, frame)


def listen(port: int | None) -> socket.socket:
    """A socket on the loopback address.

    Raises:
        CourseError: the port is taken. UsageError: it is none.
    """
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"--port must be from 0 to 65535, not {port}")
    tried = [port] if port is not None else range(PORT, PORT + _TRIED)
    for number in tried:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # On Windows REUSEADDR would share the port with whoever has it; elsewhere it only forgets a closed one.
        option = "SO_EXCLUSIVEADDRUSE" if sys.platform == "win32" else "SO_REUSEADDR"
        made.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        try:
            made.bind((_HOST, number))
            made.listen(128)
        except OSError as error:
            made.close()
            if port is not None:
                raise CourseError(
                    f"port {port} of {_HOST} cannot be used ({error.strerror}); without --port a free one is taken"
                ) from None
        else:
            return made
    raise CourseError(
        f"the ports {PORT} to {PORT + _TRIED - 1} of {_HOST} are taken: name another with --port"
    )
