"""A hunt's file as it was handed in, bug by bug: by what the code does, however it was mended."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.course.mistakes import Mistake
from common.course.outline import name_at
from common.hunting.composing import Hunt, Place
from common.hunting.effects import effects
from common.judging.records import Outcome, Status, Verdict


class Fate(StrEnum):
    MENDED = "mended"
    WRONGLY = "found, but mended wrongly"
    MISSED = "not found"


@dataclass(frozen=True)
class Finding:
    """What became of one bug.

    Args:
        line, places: where it stood. experiment: what shows it soonest. showed: what that gives on the planted file, or
            on the mended one where the bug was mended wrongly.
    """

    bug: Mistake
    fate: Fate
    line: int
    places: tuple[Place, ...]
    experiment: str
    showed: tuple[str, ...]


@dataclass(frozen=True)
class Debrief:
    """What became of all of them, and what is broken now that was right before."""

    findings: tuple[Finding, ...]
    broken: tuple[Outcome, ...]

    @property
    def mended(self) -> int:
        return sum(f.fate == Fate.MENDED for f in self.findings)


def debriefed(
    hunt: Hunt,
    given: Verdict,
    handed_in: Verdict,
    text: str,
    undone: Mapping[str, Verdict] | None = None,
) -> Debrief:
    """Judge a mended file.

    Args:
        given, handed_in: the verdicts on the planted file and on the mended one.
        text: of the mended one.
        undone: by the bug's name, the verdicts on what `suspects` gave.
    """
    failed, now = _wrong(given), _wrong(handed_in)
    own = {bug.name: _own(hunt, bug, given) for bug in hunt.planted}
    broken = _broken(hunt, given, handed_in)

    def is_mended(bug: Mistake) -> bool:
        if not handed_in.loads or own[bug.name] & now.keys():
            return False
        if len(hunt.planted) == 1:
            return not broken
        other = (undone or {}).get(bug.name)
        return other is None or not other.loads or broken <= _wrong(other).keys()

    findings = []
    for bug in hunt.planted:
        fate = Fate.MENDED if is_mended(bug) else Fate.MISSED
        if fate == Fate.MISSED and _touched(hunt, bug, text):
            fate = Fate.WRONGLY
        wrong_now = fate == Fate.WRONGLY and own[bug.name] & now.keys()
        shown = _experiment(hunt, own[bug.name], now if wrong_now else failed)
        findings.append(Finding(bug, fate, hunt.line(bug), tuple(hunt.places(bug)), *shown))
    return Debrief(tuple(findings), tuple(o for name, o in now.items() if name in broken))


def suspects(hunt: Hunt, given: Verdict, handed_in: Verdict, text: str) -> dict[str, str]:
    """Where something is broken that was right: by bug, the handed-in text with the clean lines in that bug's place.

    If nothing is broken there any more, it was this mending that broke it.
    """
    now = _wrong(handed_in).keys()
    if len(hunt.planted) == 1 or not _broken(hunt, given, handed_in):
        return {}
    texts = {}
    for bug in hunt.planted:
        if not _own(hunt, bug, given) & now and _touched(hunt, bug, text):
            texts[bug.name] = _with_clean_lines(hunt, bug, text)
    return texts


def _broken(hunt: Hunt, given: Verdict, handed_in: Verdict) -> set[str]:
    """Names of the checks that fail and that no bug which is still there explains."""
    failed, now = _wrong(given).keys(), _wrong(handed_in).keys()
    still = [bug for bug in hunt.planted if _own(hunt, bug, given) & now]
    explained = {*failed} if still else set[str]()
    if len(hunt.planted) > 1:  # one bug may have hidden what another one fails
        explained.update(*(effects(hunt.problem).fails[bug.name] for bug in still))
    return {*now} - explained


def _with_clean_lines(hunt: Hunt, bug: Mistake, text: str) -> str:
    after, edits = text.splitlines(), _edits(hunt, text)

    def start(line: int) -> int:
        return next(
            (
                k + (line - i if kind == "equal" else 0)
                for kind, i, j, k, _ in edits
                if i <= line < j
            ),
            len(after),
        )

    def end(line: int) -> int:
        return next(
            (k + line - i if kind == "equal" else m for kind, i, j, k, m in edits if i < line <= j),
            start(line),
        )

    for place in reversed(hunt.places(bug)):
        first = place.line - 1
        last = first + len(place.was)
        after[start(first) : end(last) if place.was else start(first)] = place.clean
    return "\n".join(after) + "\n"


def _edits(hunt: Hunt, text: str) -> Sequence[tuple[str, int, int, int, int]]:
    """What was done to the planted file, as difflib tells it."""
    before, after = hunt.text.splitlines(), text.splitlines()
    return difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _own(hunt: Hunt, bug: Mistake, given: Verdict) -> frozenset[str]:
    """The checks that tell of this bug alone; of an only one all that fail."""
    return hunt.own_checks(bug) or frozenset(_wrong(given))


def _wrong(verdict: Verdict) -> dict[str, Outcome]:
    return {o.name: o for o in verdict.outcomes if o.status != Status.PASSED}


def _touched(hunt: Hunt, bug: Mistake, text: str) -> bool:
    """Whether any line of the bug, or the gap that it left, was edited."""
    edits = _edits(hunt, text)
    for place in hunt.places(bug):
        first, last = place.line - 1, place.line - 1 + max(len(place.was), 1)
        for kind, i, j, _, _ in edits:
            if kind != "equal" and i <= last - (bool(place.was)) and max(j, i + 1) > first:
                return True
    return False


def _experiment(
    hunt: Hunt, own: frozenset[str], failed: dict[str, Outcome]
) -> tuple[str, tuple[str, ...]]:
    """What shows a bug soonest, in the words of the check that does it, and what it gives."""
    outcome = next((o for name, o in failed.items() if name in own), None)
    if outcome is None:
        return "", ()
    says = outcome.experiment if hunt.problem.is_hunt else ""
    return says or f"Look whether {outcome.sentence}.", outcome.facts


def hints(hunt: Hunt, given: Verdict) -> list[tuple[str, str]]:
    """For each bug the experiment that shows it, then the name of what holds it: a title and a text each."""
    failed, found = _wrong(given), []
    for number, bug in enumerate(hunt.planted, 1):
        experiment, _ = _experiment(hunt, _own(hunt, bug, given), failed)
        line = hunt.line(bug)
        found.append((f"Bug {number}: an experiment", experiment))
        found.append(
            (
                f"Bug {number}: a place",
                f"It is in `{name_at(ast.parse(hunt.text), line) or 'the module itself'}`.",
            )
        )
    return found
