"""The pictures of the READMEs: drawn from the references, and known to be stale by the numbers they were drawn from."""

from __future__ import annotations

import json
import math
import re
from html import escape, unescape
from typing import Any

from common.course.catalogue import Problem
from common.errors import CourseError
from common.files import content, write_atomically
from common.judging.records import Request
from common.judging.runner import run
from common.pictures.picture import Picture

FILE = "picture.svg"
_DATA = re.compile(r"<metadata>(.*?)</metadata>", re.S)
_CLOSE = 0.02  # of a number: another machine's rounding, and a little more


def write(problem: Problem) -> int:
    """Draw a problem's picture into its folder; the bytes that it takes."""
    picture = drawn(problem)
    head, rest = picture.svg("auto").split("</title>", 1)
    data = f"<metadata>{escape(picture.to_json(), quote=False)}</metadata>"
    text = f"{head}</title>{data}{rest}"
    write_atomically(problem.folder / FILE, text)
    return len(text.encode())


def drawn(problem: Problem) -> Picture:
    """The picture as the reference draws it, in this process."""
    verdict = run(Request(problem.name, problem.reference, owner="reference", picture=()))
    if not verdict.drawn:
        raise CourseError(f"{problem.name}: {verdict.failure or 'no picture was drawn'}")
    return Picture.from_json(verdict.drawn)


def trouble(problem: Problem) -> str:
    """What is wrong with the picture in a README; empty where it is as it should be."""
    found = _DATA.search(content(problem.folder / FILE).decode("utf-8"))
    if not found:
        return f"{problem.name} has no {FILE}: make pictures"
    picture = drawn(problem)
    if not _alike(_data(unescape(found[1])), _data(picture.to_json())):
        return f"{problem.name}/{FILE} is not what the reference draws now: make pictures"
    if f"![{picture.alt}]({FILE})" not in problem.readme.text:
        return f"the README of {problem.name} does not show it as ![{picture.alt}]({FILE})"
    return ""


def _data(text: str) -> Any:
    title, alt, panels, note, across = json.loads(text)
    return [title, alt, [json.loads(panel) for panel in panels], note, across]


def _alike(one: Any, other: Any) -> bool:
    """Whether two pictures are made of the same texts, and of numbers that are nearly the same."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE) or one != one != other
    return one == other
