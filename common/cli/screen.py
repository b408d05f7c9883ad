"""A whole terminal: a head, a body that scrolls, a line of keys. Any size, over ssh, in tmux, on Windows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from common.errors import UsageError

# What a key is called here, by prompt_toolkit's name for it; other keys are their character.
_NAMED = {
    "up": "up", "down": "down", "pageup": "pageup", "pagedown": "pagedown", "escape": "escape",
    "enter": "enter", "backspace": "backspace", "c-h": "backspace",
}  # fmt: skip


@dataclass
class Page:
    """What the screen shows.

    Args:
        body: lines for a width, made anew when the size changes.
        offset: lines of the body that are scrolled away.
    """

    head: list[str]
    body: Callable[[int], list[str]]
    foot: str
    offset: int = 0
    hidden: int = field(default=0, init=False)  # body lines below the last one shown


class Screen:
    """Draws a page whenever it is asked to or the size changes, and hands on keys."""

    def __init__(self, page: Callable[[], Page], on_key: Callable[[str], None]) -> None:
        require_terminal()
        from prompt_toolkit.application import Application
        from prompt_toolkit.layout import FormattedTextControl, Layout, Window
        from prompt_toolkit.output import ColorDepth

        self.page, self.on_key = page, on_key
        self.shown = page()
        self.room = 1  # lines of the body that were shown last
        self.application: Application[None] = Application(
            Layout(Window(FormattedTextControl(self._text, show_cursor=False))),
            key_bindings=self._bindings(),
            full_screen=True,
            color_depth=ColorDepth.DEPTH_1_BIT if "NO_COLOR" in os.environ else None,
            enable_page_navigation_bindings=False,
        )

    async def run(self, meanwhile: Coroutine[Any, Any, None]) -> None:
        """Show until `close`, until the work done meanwhile fails, or until interrupted.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(meanwhile)
        work.add_done_callback(lambda _: self.close())
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.close)
        notes = io.StringIO()
        try:
            with contextlib.redirect_stderr(notes):
                await self.application.run_async(handle_sigint=False)
        except EOFError:
            pass  # the terminal is gone
        finally:
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            with contextlib.suppress(OSError):
                sys.stderr.write(notes.getvalue())

    def draw(self) -> None:
        self.application.invalidate()

    def close(self) -> None:
        if self.application.is_running and not self.application.is_done:
            self.application.exit()

    def scroll(self, key: str) -> int | None:
        """The new offset, if this is a key that scrolls."""
        page = self.shown
        room = self.room
        steps = {
            " ": room, "pagedown": room, "down": 1, "j": 1, "b": -room, "pageup": -room, "up": -1, "k": -1,
        }  # fmt: skip
        if key not in steps:
            return None
        most = page.offset + page.hidden
        return max(min(page.offset + steps[key], most), 0)

    def _size(self) -> tuple[int, int]:
        size = self.application.output.get_size()
        return size.columns, size.rows

    def _text(self) -> Any:
        from prompt_toolkit.formatted_text import ANSI

        columns, rows = self._size()
        page = self.shown = self.page()
        head = [line for text in page.head for line in _pieces(text, columns)]
        foot = _pieces(page.foot, columns)
        room = max(rows - len(head) - len(foot) - 1, 1)
        body = [part for line in page.body(columns) for part in broken(line, columns)]
        page.offset = max(min(page.offset, len(body) - 1), 0)
        page.hidden = max(len(body) - page.offset - room, 0)
        self.room = room
        shown = body[page.offset : page.offset + room]
        ways = [f"{page.hidden} more lines: space"] * (page.hidden > 0)
        ways += ["back: b"] * (page.offset > 0)
        more = f"({'  '.join(ways)})" if ways else ""
        lines = [*head, *shown, *[""] * (room - len(shown)), more, *foot]
        return ANSI("\n".join(lines[:rows]))

    def _bindings(self) -> Any:
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.keys import Keys

        bindings = KeyBindings()

        @bindings.add(Keys.Any)
        def _(event: Any) -> None:
            for character in event.data:
                self._press(character)

        for key, name in _NAMED.items():
            bindings.add(key)(lambda event, name=name: self._press(name))

        @bindings.add("c-c")
        def _(event: Any) -> None:
            event.app.exit(exception=KeyboardInterrupt)

        @bindings.add("c-z")
        def _(event: Any) -> None:
            event.app.suspend_to_background()

        return bindings

    def _press(self, key: str) -> None:
        self.on_key(key)
        self.draw()


def require_terminal(instead: str = "`gpt2 watch --plain` and `gpt2 check` do not") -> None:
    """Raise UsageError where there is no terminal to draw on."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"this needs a terminal; {instead}")


def broken(line: str, width: int) -> list[str]:
    """A line that is too long in as many as it takes; a painted one was broken before it was painted."""
    if len(line) <= width or "\x1b" in line:
        return [line]
    return [line[i : i + width] for i in range(0, len(line), width)]


def _pieces(text: str, width: int) -> list[str]:
    """A line in as many as it takes; breaks at double spaces where it can, as between two keys."""
    lines = [""]
    for part in map(str.strip, re.split(" {2,}", text)):
        joined = f"{lines[-1]}  {part}" if lines[-1] else part
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines += [part[i : i + width] for i in range(0, len(part), width)]
    return [line for line in lines if line] or [""]
