"""Messages over a socket: a head in JSON and raw bytes for tensors, with limits on both."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_SIZES = struct.Struct("<II")


class Over(BaseException):
    """The exchange has ended; no `except Exception` of a check may swallow that.

    Args:
        why: "gone" (the other side has ended) or "rules" (it sent what no message looks like).
        says: the details, for a person.
    """

    def __init__(self, why: str, says: str) -> None:
        super().__init__(says)
        self.why, self.says = why, says


class Wire:
    """One end of the connection. It waits as long as the other side lives; whoever started that sets the limits.

    Args:
        most: bytes that a message may have; its head (everything but tensors) a fourth of that.
    """

    def __init__(self, connection: socket.socket, *, most: int = 16 << 20) -> None:
        self.connection, self.most = connection, most
        self.kept = bytearray()  # received beyond the last message

    def send(self, head: Any, body: list[bytes]) -> None:
        """Send a message.

        Raises:
            Over: the other side is gone.
        """
        text = json.dumps(head, separators=(",", ":")).encode()
        size = sum(map(len, body))
        try:
            self.connection.sendall(b"".join([_SIZES.pack(len(text), size), text, *body]))
        except OSError:
            raise Over("gone", "the process of the submission has ended") from None

    def receive(self) -> tuple[Any, memoryview]:
        """The next message.

        Raises:
            Over: it is too long or no JSON, or the other side is gone.
        """
        head, body = _SIZES.unpack(self._read(_SIZES.size))
        if head > self.most // 4 or head + body > self.most:
            raise Over(
                "rules", f"a message of {head + body:,} bytes; at most {self.most:,} are taken"
            )
        text = self._read(head)
        data = memoryview(self._read(body))
        try:
            return json.loads(text), data
        except (ValueError, RecursionError) as error:
            raise Over("rules", f"a message that is no JSON: {type(error).__name__}") from None

    def _read(self, size: int) -> bytearray:
        while len(self.kept) < size:
            try:
                more = self.connection.recv(max(size - len(self.kept), 1 << 16))
            except OSError:
                more = b""
            if not more:
                raise Over("gone", "the process of the submission has ended")
            self.kept += more
        data = self.kept[:size]
        del self.kept[:size]
        return data
