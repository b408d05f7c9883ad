"""The picture of each problem's idea. The learner's code draws in a child with a limit, never in this process."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from common.course.catalogue import Problem, find, problems
from common.errors import CourseError, UsageError
from common.files import content
from common.judging import loading
from common.judging.records import Ended, Request, Verdict
from common.pictures.panels import Control
from common.pictures.picture import Picture
from common.running.judge import Judge

T = TypeVar("T")

LIMIT = 5.0  # seconds for the learner's code; a picture is looked at between two saves


def drawn() -> tuple[Problem, ...]:
    """The problems that have a picture."""
    return tuple(p for p in problems() if p.picture.exists())


def controls(problem: str | int | Problem) -> tuple[Control, ...]:
    """What changes a problem's picture; none where it has no picture."""
    wanted = problem if isinstance(problem, Problem) else find(problem)
    return _controls(wanted, content(wanted.picture)) if wanted.picture.exists() else ()


@cache
def _controls(problem: Problem, _: bytes) -> tuple[Control, ...]:
    return tuple(loading.load(problem.picture).CONTROLS)


def picture(
    problem: str | int | Problem,
    controls: Mapping[str, str] | None = None,
    *,
    owner: str = "yours",
    limit: float = LIMIT,
) -> Picture:
    """The problem's picture, from the learner's file as far as it works; its note says how far.

    Args:
        controls: what differs from their defaults, as it was typed.
        owner: "reference" leaves the learner's file alone.
        limit: seconds until the learner's code is ended and the reference draws.

    Raises:
        UsageError: a control that is not there, or a value that it does not take.
        CourseError: the problem has no picture, or the course's own files cannot be used.
    """
    wanted = problem if isinstance(problem, Problem) else find(problem)
    if not wanted.picture.exists():
        raise CourseError(f"{wanted.label} has no picture")
    given = _checked(wanted, controls or {})
    mine = owner == "yours"
    file = wanted.solution if mine else wanted.reference
    asked = Request(wanted.name, file, owner=owner, picture=given, limit=limit)
    verdict = _painter.judge(asked)
    why = ""
    if mine and not verdict.drawn and verdict.ended in (Ended.TIMEOUT, Ended.CRASH):
        why = _why(verdict)
        instead = replace(asked, file=wanted.reference, owner="reference", limit=4 * limit)
        verdict = _painter.judge(instead)
    if not verdict.drawn:
        raise CourseError(verdict.where or verdict.failure or f"{wanted.label} could not be drawn")
    made = Picture.from_json(verdict.drawn)
    return replace(made, note=f"{why} {made.note}".strip())


def _checked(problem: Problem, given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    known = {c.name: c for c in controls(problem)}
    for name, text in given.items():
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"the picture of {problem.key} has no control {name!r}: {has}")
        known[name].value(text)
    return tuple((name, text) for name, text in given.items())


def _why(verdict: Verdict) -> str:
    where = f" (at {verdict.where})" if verdict.where else ""
    if verdict.ended == Ended.TIMEOUT:
        return f"Your code came to no end within {verdict.request.limit:g} seconds{where}."
    return f"Your code ended Python itself{where}."


class _Painter:
    """A judge that stays warm from one picture to the next, on a thread and loop of its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.judges: Judge | None = None
        self.drawing: Future[Verdict] | None = None

    def judge(self, request: Request) -> Verdict:
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                threading.Thread(target=self.loop.run_forever, daemon=True).start()
                atexit.register(self.close)
            if self.judges is None:
                self.judges = Judge()
            self.drawing = self._begin(self.judges.judge(request))
            try:
                return self.drawing.result()
            except CancelledError:
                raise CourseError("the picture was given up before it was drawn") from None

    def close(self) -> None:
        """Give up what is being drawn and end the child; the next picture starts one anew."""
        if self.drawing is not None:
            self.drawing.cancel()
        if self.judges is not None:
            self._begin(self.judges.close()).result()
            self.judges = None

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        assert self.loop
        return asyncio.run_coroutine_threadsafe(work, self.loop)


_painter = _Painter()
close = _painter.close
