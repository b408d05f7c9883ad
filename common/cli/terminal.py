"""A terminal with single keys and a screen that is drawn whole: any 80x24, over ssh, in tmux."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from types import TracebackType

from common.errors import UsageError

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None  # type: ignore[assignment]

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Raw keys while the block runs; the terminal is given back as it was, however the block ends."""

    def __init__(self) -> None:
        if termios is None:
            raise UsageError(
                "this needs a POSIX terminal; on Windows use WSL, or `gpt2 check` after each save"
            )
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("this needs a terminal; use `gpt2 check` where there is none")
        self.resized = True

    def __enter__(self) -> Terminal:
        assert termios
        assert tty
        self.saved = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        sys.stdout.write("\x1b[?25l")  # no cursor: there is nothing to type into
        sys.stdout.flush()
        self.handlers = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, _leave),
            signal.SIGHUP: signal.signal(signal.SIGHUP, _leave),
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, self._on_resize),
            signal.SIGCONT: signal.signal(signal.SIGCONT, self._on_continue),
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert termios
        # At once: draining would wait for ever for a terminal that is stopped or gone.
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self.saved)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        try:
            sys.stdout.write("\x1b[?25h\n")
            sys.stdout.flush()
        except OSError:
            pass  # the terminal is gone

    def _on_resize(self, *_: object) -> None:
        self.resized = True

    def _on_continue(self, *_: object) -> None:
        assert tty
        tty.setcbreak(sys.stdin)  # a shell took the terminal while we were stopped
        sys.stdout.write("\x1b[?25l")
        self.resized = True

    def fileno(self) -> int:
        return sys.stdin.fileno()

    def pressed(self) -> list[str]:
        """The keys that were pressed; an arrow or function key is one string that starts with escape."""
        text = os.read(self.fileno(), 1024).decode(errors="ignore")
        return re.findall(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", text, re.S)

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return shutil.get_terminal_size((80, 24))

    def draw(self, head: list[str], body: list[str], foot: str, *, offset: int = 0) -> int:
        """Draw a whole screen: head on top, foot in the last line, as much of the body as fits.

        Returns:
            How many body lines do not fit below the offset.
        """
        columns, rows = self.size()
        room = max(rows - len(head) - 2, 1)
        shown = body[offset : offset + room]
        hidden = max(len(body) - offset - room, 0)
        lines = [*head, *shown, *[""] * (room - len(shown))]
        lines.append(f"({hidden} more lines: space)" if hidden else "")
        lines.append(foot)
        text = "\r\n".join(_cut(line, columns) + "\x1b[K" for line in lines[:rows])
        sys.stdout.write("\x1b[H" + text + "\x1b[J")
        sys.stdout.flush()
        self.resized = False
        return hidden


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _cut(line: str, columns: int) -> str:
    """The line in at most that many columns; colour codes take no room."""
    if len(_ESCAPES.sub("", line)) <= columns:
        return line
    out, width = [], 0
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b"):
            out.append(part)
        else:
            out.append(part[: max(columns - width, 0)])
            width += len(part)
    return "".join(out)
