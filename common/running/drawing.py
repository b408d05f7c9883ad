"""Pictures are drawn where files are judged: in a child, with a limit, after the verdict.

What draws them is the package common.pictures; where that is not there, nothing is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from common.course.catalogue import Problem, find
from common.judging.records import Drawn, Ended, Request, Verdict


def available() -> bool:
    """Whether pictures can be drawn here. Imports nothing."""
    return importlib.util.find_spec("common.pictures") is not None


def controls(problem: Problem) -> tuple[Any, ...]:
    """What changes the picture of a problem: records with name, label, kind, default, choices, low and high."""
    return tuple(_part("ideas").controls(problem)) if available() else ()


def of_the_idea(request: Request, chosen: dict[str, str]) -> Request:
    """The request for a problem's picture.

    Args:
        chosen: a value for each control.
    """
    return replace(request, picture=json.dumps({"idea": chosen}), cause=False)


def of_what_is_wrong(verdict: Verdict) -> Request:
    """The request for pictures of what a verdict saw."""
    told = json.dumps({"wrong": verdict.to_json()})
    return replace(verdict.request, picture=told, cause=False)


def draw(request: Request) -> Verdict:
    """A verdict that holds nothing but pictures, or the reason why there are none."""
    wanted = json.loads(request.picture)
    try:
        if "wrong" in wanted:
            found: Iterable[Any] = _part("wrong").pictures(Verdict.from_json(wanted["wrong"]))
        else:
            found = [_part("ideas").picture(find(request.problem), wanted["idea"])]
        drawn = tuple(
            Drawn(p.title, p.alt, p.note, p.svg(theme="light"), p.svg(theme="dark")) for p in found
        )
    except Exception as error:  # the learner's code ran meanwhile, and may raise anything
        where = f"It could not be drawn ({type(error).__name__}: {error})."
        return Verdict(request, ended=Ended.BROKEN, where=where, whole=False)
    return Verdict(request, pictures=drawn, whole=False)


def _part(name: str) -> Any:
    return importlib.import_module(f"common.pictures.{name}")
