"""The picture of a problem's idea, drawn with the learner's parts as far as they work, with the reference's else."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from common.course.catalogue import Problem, shown
from common.errors import CourseError
from common.judging.loading import load
from common.judging.records import Request

_LONG = 90  # characters of a reason


class Parts:
    """A solution's names: the learner's, but for those that are refused."""

    def __init__(self, mine: ModuleType, reference: ModuleType, refused: Collection[str]) -> None:
        self._mine, self._reference, self._refused = mine, reference, refused

    def __getattr__(self, name: str) -> Any:
        side = self._reference if name in self._refused else self._mine
        return getattr(side, name)


def picture_of(problem: Problem, request: Request, mine: ModuleType | str) -> str:
    """Draw the problem's picture, as its JSON; the note says whose code it was.

    Args:
        mine: what was loaded, or why it could not be.

    Raises:
        CourseError: the problem has no picture, or the reference's cannot be drawn.
    """
    if not problem.picture.exists():
        raise CourseError(f"{problem.name} has no picture: {shown(problem.picture)} would draw it")
    scene, reference = load(problem.picture), load(problem.reference)
    given = dict(request.picture or ())
    controls = {c.name: c.value(given.get(c.name, c.default)) for c in scene.CONTROLS}
    wanted = [*scene.PARTS]
    if isinstance(mine, str):
        drawn, reasons = None, {}
    else:
        drawn, reasons = _as_far_as_it_works(scene, mine, reference, wanted, controls)
    if drawn is None:
        drawn = _drawn(scene, Parts(reference, reference, ()), controls)
    said = _said(request, mine, wanted, reasons)
    return replace(drawn, note=f"{said} {drawn.note}".strip()).to_json()


def _drawn(scene: Any, parts: Parts, controls: Mapping[str, Any]) -> Any:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scene.draw(parts, controls)


def _as_far_as_it_works(
    scene: Any,
    mine: ModuleType,
    reference: ModuleType,
    wanted: list[str],
    controls: Mapping[str, Any],
) -> tuple[Any, dict[str, str]]:
    """The picture, and why each part that is not the learner's is not; no picture where none of them works."""
    reasons: dict[str, str] = {}
    try:
        return _drawn(scene, Parts(mine, reference, ()), controls), reasons
    except (Exception, SystemExit) as error:
        first = _reason(error)
    for name in wanted:
        others = [other for other in wanted if other != name]
        try:
            _drawn(scene, Parts(mine, reference, others), controls)
        except (Exception, SystemExit) as error:
            reasons[name] = _reason(error)
    if len(reasons) < len(wanted):
        try:
            return _drawn(scene, Parts(mine, reference, reasons), controls), reasons
        except (Exception, SystemExit):
            reasons = dict.fromkeys(wanted, first)
    return None, reasons


def _reason(error: BaseException) -> str:
    if isinstance(error, NotImplementedError):
        return "not written yet"
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return "not there"
    kind = "" if type(error).__name__ == "Unfit" else f"{type(error).__name__}: "
    text = " ".join(f"{kind}{error}".split())
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _said(
    request: Request, mine: ModuleType | str, wanted: list[str], reasons: Mapping[str, str]
) -> str:
    if request.owner == "reference":
        return "Drawn from the reference."
    if isinstance(mine, str):
        return f"Drawn from the reference, as your file does not load: {mine.splitlines()[0]}."
    if not reasons:
        return "Drawn from your own code."
    if len(reasons) == len(wanted):
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        if set(reasons.values()) == {"not written yet"}:
            return "Drawn from the reference, as yours is not written yet."
        return f"Drawn from the reference ({why})."
    theirs = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
    own = ", ".join(name for name in wanted if name not in reasons)
    return f"Yours: {own}. From the reference: {theirs}."
