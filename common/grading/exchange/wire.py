"""Messages over a socket: a head in JSON and raw bytes for tensors, with limits on both."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any, NoReturn

_SIZES = struct.Struct("<II")


class Over(BaseException):
    """The exchange has ended; no `except Exception` of a check may swallow that.

    Args:
        why: "time", "gone" (the other side ended) or "rules" (it sent what no message looks like).
        says: the details, for a person.
    """

    def __init__(self, why: str, says: str) -> None:
        super().__init__(says)
        self.why, self.says = why, says


class Wire:
    """One end of the connection.

    Args:
        most: bytes that a message may have; its head (everything but tensors) a fourth of that.
    """

    def __init__(self, connection: socket.socket, *, most: int = 32 << 20) -> None:
        self.connection, self.most = connection, most
        self.deadline: float | None = None  # of time.monotonic()

    def send(self, head: Any, body: list[bytes]) -> None:
        """Send a message.

        Raises:
            Over: the other side is gone, or does not listen until the deadline.
        """
        text = json.dumps(head, separators=(",", ":")).encode()
        size = sum(map(len, body))
        self._wait()
        try:
            self.connection.sendall(b"".join([_SIZES.pack(len(text), size), text, *body]))
        except OSError as error:
            self._broken(error)

    def receive(self) -> tuple[Any, memoryview]:
        """The next message.

        Raises:
            Over: it is too long or no JSON, or there is none until the deadline.
        """
        head, body = _SIZES.unpack(self._read(_SIZES.size))
        if head > self.most // 4 or head + body > self.most:
            raise Over("rules", f"a message of {head + body:,} bytes; at most {self.most:,} are taken")
        text = self._read(head)
        data = memoryview(self._read(body))
        try:
            return json.loads(text), data
        except (ValueError, RecursionError) as error:
            raise Over("rules", f"a message that is no JSON: {type(error).__name__}") from None

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            self._wait()
            try:
                count = self.connection.recv_into(view[got:])
            except OSError as error:
                self._broken(error)
            if not count:
                raise Over("gone", "the process of the submission has ended")
            got += count
        return data

    def _wait(self) -> None:
        if self.deadline is not None:
            self.connection.settimeout(max(self.deadline - time.monotonic(), 0.001))

    def _broken(self, error: OSError) -> NoReturn:
        if isinstance(error, TimeoutError):
            raise Over("time", "no answer until the time was up") from None
        raise Over("gone", "the process of the submission has ended") from None
