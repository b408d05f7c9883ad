"""The dialogue of a review: plain lines, for any terminal and any screen reader."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import AsyncGenerator

from common.cli.markdown import plain
from common.course.catalogue import shown
from common.errors import CourseError
from common.judging.records import Verdict
from common.judging.report import wrapped
from common.review import deck, tasks
from common.review.cards import Card, Kind
from common.review.memory import Grade
from common.review.tasks import Task
from common.running.session import Session

Event = str | Verdict | BaseException


class Dialogue:
    """Goes through a portion. Each grade is on the disk before the next card is shown.

    Args:
        due: the portion.
    """

    def __init__(self, due: list[Card]) -> None:
        self.due = due
        self.done = 0  # cards that were graded
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    async def run(self) -> None:
        """Go through all cards.

        Raises:
            EOFError: the terminal is gone.
        """
        listen(self.events)
        for number, card in enumerate(self.due, 1):
            print(f"\n--- {number} of {len(self.due)} · {card.title} · {card.minutes} min\n")
            self._forget_typed()
            begun = time.monotonic()
            try:
                ask = self._question if card.kind == Kind.QUESTION else self._file
                given = await ask(card)
            except CourseError as error:
                say(f"This card is left out: {error}")
                continue
            if given:
                self._keep(card, given, time.monotonic() - begun)

    def _forget_typed(self) -> None:
        """What was typed or saved too late for the last card is not meant for the next one."""
        while not self.events.empty():
            if isinstance(event := self.events.get_nowait(), EOFError):
                raise event

    def _keep(self, card: Card, given: Grade, seconds: float) -> None:
        memory = deck.grade(card.id, given, card.minutes, seconds, time.time())
        self.done += 1
        days = memory.due - memory.last
        when = "tomorrow" if days == 1 else f"in {days} days"
        print(f"{given.name.capitalize()}: it comes back {when}.")

    async def _question(self, card: Card) -> Grade | None:
        """Ask, show the answer, and let the learner grade."""
        answer = next(q.text for q in card.problem.readme.questions if q.title == card.what)
        say(card.what)
        if await self._typed("\nEnter opens the answer (s skips): ") == "s":
            return None
        print("\n".join(["", *plain(answer, _width()), ""]))
        while True:
            typed = await self._typed("1 again, 2 hard, 3 good (s skips): ")
            if typed == "s":
                return None
            if typed in ("1", "2", "3"):
                return Grade(int(typed))

    async def _typed(self, prompt: str) -> str:
        print(prompt, end="", flush=True)
        while True:
            event = await self.events.get()
            if isinstance(event, EOFError):
                raise event
            if isinstance(event, str):
                return event

    async def _file(self, card: Card) -> Grade | None:
        """Let a file be mended, and check each save of it until it passes."""
        task = tasks.prepare(card, deck.read())
        _introduce(task)
        begun, failing, opening = time.monotonic(), 0, _checks_at_once(task)
        async with self._watched(task, check=opening):
            while True:
                event = await self.events.get()
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, Verdict):
                    asked = task.asked(event)
                    if asked.passes:
                        print(f"\n{tasks.checks(asked.outcomes).capitalize()}.")
                        return tasks.grade(card, time.monotonic() - begun, failing)
                    failing += tasks.is_failing(asked) and not opening
                    opening = False
                    print("\n".join(["", *task.said(asked, _width())]))
                elif event == "s":
                    return None
                elif event == "g":
                    print("\n".join(["", *task.answer(), ""]))
                    return Grade.AGAIN

    @contextlib.asynccontextmanager
    async def _watched(self, task: Task, *, check: bool) -> AsyncGenerator[None]:
        """Within the block each save of the file brings a verdict among the events."""
        session = Session(tasks.LIMIT, self.events.put_nowait, request=lambda _: task.request)

        def ended(run: asyncio.Task[None]) -> None:
            if not run.cancelled() and (error := run.exception()):
                self.events.put_nowait(error)

        session.judge.warm(task.card.problem)
        await session.judge.start()
        session.open(task.card.problem, check=check)
        if not check:  # what was saved since the file was put there counts as a save
            session.seen[task.file] = task.given.encode()
        run = asyncio.create_task(session.run([task.file.parent]))
        run.add_done_callback(ended)
        await asyncio.sleep(0)  # only what has begun cleans up behind itself
        try:
            yield
        finally:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError, CourseError):
                await run
            await session.judge.close()


def listen(events: asyncio.Queue[Event]) -> None:
    """Put every line that is typed among the events, and EOFError when there can be no more."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        rest = b""
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the dialogue has ended
            # Not sys.stdin: a thread that waits in it holds a lock that Python wants when it ends.
            while data := os.read(sys.stdin.fileno(), 4096):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    text = line.decode(errors="replace").strip().lower()
                    loop.call_soon_threadsafe(events.put_nowait, text)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(events.put_nowait, EOFError("the terminal is gone"))

    threading.Thread(target=read, daemon=True).start()


def say(text: str) -> None:
    """Print a sentence in as many lines as it takes."""
    print("\n".join(wrapped(text, _width())))


def _introduce(task: Task) -> None:
    file, card = shown(task.file), task.card
    if card.kind == Kind.WRITE:
        say(f"Write {card.what} again. The rest of {file} is yours, as it passes.")
    else:
        say(f"There is one bug in {file}: find it and mend it.")
    if task.resumed:
        say("The file is as you left it.")
    say("Each save is checked. s and Enter skips, g and Enter gives up and shows the answer.")


def _checks_at_once(task: Task) -> bool:
    """Whether the file is checked before its first save: for what a bug shows, or to see what was left."""
    return task.resumed or task.card.kind == Kind.HUNT


def _width() -> int:
    return min(shutil.get_terminal_size((80, 24)).columns, 80)
