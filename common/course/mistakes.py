"""Known wrong answers: data, each a change of a reference and the sentence a learner needs.

A problem's mistakes.diff is a list of entries. Lines with - stand in the reference, lines with + are what
the learner wrote instead, lines with a space stay and only say where; a lone @@ begins a change elsewhere.

    @@ the diagonal is closed
    -    return torch.ones(seq_len, seq_len, dtype=torch.bool, device=device).tril()
    +    return torch.ones(seq_len, seq_len, dtype=torch.bool, device=device).tril(-1)
    Each token must see itself, but your mask closes the diagonal ...

The sentence may end in notes: (same as: NAME) points to an entry that behaves alike; (only for diagnosis) marks
a change that is no slip of the hand, such as a class left out.
"""

from __future__ import annotations

import ast
import difflib
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from operator import eq

from common.course.catalogue import Problem, shown
from common.errors import CourseError

_NOTES = re.compile(r"(?: \(same as: (?P<same>.+?)\))?(?P<diagnosis> \(only for diagnosis\))?$")
_CLOSE = 0.6  # how alike a statement has to be to the one that a change was written for


class DoesNotApply(CourseError):
    """A change whose place is no longer in the reference."""


@dataclass(frozen=True)
class Change:
    """Consecutive lines of the reference, and what the learner wrote there."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    def apply(self, source: str) -> tuple[str, bool]:
        """The text with this change, and whether its place was found only by likeness.

        Raises:
            DoesNotApply: the place is not there, or more than once.
        """
        lines = source.splitlines()
        size = len(self.old)
        places = [i for i in range(len(lines) - size + 1) if tuple(lines[i : i + size]) == self.old]
        if len(places) == 1:
            at = places[0]
            return "\n".join([*lines[:at], *self.new, *lines[at + size :]]) + "\n", False
        if places:
            raise DoesNotApply(f"{self.old[0].strip()!r} stands there {len(places)} times")
        return self._by_likeness(lines), True

    def _by_likeness(self, lines: list[str]) -> str:
        """Put it where one statement of the same kind is much like the old one, or most lines of a block stand."""
        wanted, size = "\n".join(self.old), len(self.old)
        if kind := _kind(wanted):
            places = [(a, b) for a, b, other in _statements("\n".join(lines)) if other == kind]
        else:
            windows = ((i, i + size) for i in range(len(lines) - size + 1))
            places = [(a, b) for a, b in windows if 2 * sum(map(eq, lines[a:b], self.old)) > size]
        ratios = sorted(
            (difflib.SequenceMatcher(None, wanted, "\n".join(lines[a:b])).ratio(), a, b)
            for a, b in places
        )
        best, second = (*reversed(ratios), (0.0, 0, 0), (0.0, 0, 0))[:2]
        if best[0] >= _CLOSE and best[0] > second[0]:
            _, a, b = best
            return "\n".join([*lines[:a], *self._indented_as(lines[a]), *lines[b:]]) + "\n"
        gone = next((line for line in self.old if line not in lines), "")
        if gone:
            raise DoesNotApply(f"{gone.strip()!r} stands nowhere in the reference")
        raise DoesNotApply(f"the lines from {self.old[0].strip()!r} on do not stand together there")

    def _indented_as(self, line: str) -> list[str]:
        had, wants = (len(text) - len(text.lstrip()) for text in (self.old[0], line))
        return [
            " " * (wants - had) + text if wants >= had else text[had - wants :] for text in self.new
        ]


@dataclass(frozen=True, eq=False)
class Mistake:
    """A wrong answer.

    Args:
        name: what was done, as a short phrase.
        changes: of the reference, in its order.
        says: what the output shows, why, and where to look.
        same_as: name of an entry that cannot be told from this one by its behaviour.
        natural: someone could write this and not see it.
    """

    name: str
    changes: tuple[Change, ...]
    says: str
    same_as: str | None = None
    natural: bool = True

    def apply(self, source: str) -> str:
        """The reference's text with this mistake in it.

        Raises:
            DoesNotApply: a change has no place in it.
        """
        return self._applied(source)[0]

    def is_moved(self, source: str) -> bool:
        """Whether a change found its place only by likeness, so that its lines should be brought up to date."""
        return self._applied(source)[1]

    def _applied(self, source: str) -> tuple[str, bool]:
        moved = False
        for change in self.changes:
            source, likeness = change.apply(source)
            moved |= likeness
        return source, moved


def known(problem: Problem) -> tuple[Mistake, ...]:
    """The problem's list; empty where it has none.

    Raises:
        CourseError: the file cannot be understood; with the line.
    """
    try:
        text = problem.mistakes.read_text(encoding="utf-8")
    except OSError:
        return ()
    try:
        return _parsed(text)
    except CourseError as error:
        raise CourseError(f"{shown(problem.mistakes)}, {error}") from None


@cache
def _parsed(text: str) -> tuple[Mistake, ...]:
    entries: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("@@ "):
            entries.append((number, [line]))
        elif entries:
            entries[-1][1].append(line)
    return tuple(_entry(number, lines) for number, lines in entries)


def _entry(number: int, lines: list[str]) -> Mistake:
    changes: list[tuple[list[str], list[str]]] = [([], [])]
    words: list[str] = []
    for line in lines[1:]:
        mark, rest = line[:1], line[1:]
        if line == "@@":
            changes.append(([], []))
        elif mark in ("-", "+", " "):
            if words:
                raise CourseError(f"line {number}: a changed line stands below the sentence")
            if mark != "+":
                changes[-1][0].append(rest)
            if mark != "-":
                changes[-1][1].append(rest)
        elif line.strip():
            words.append(line.strip())
    text = " ".join(words)
    notes = _NOTES.search(text)
    assert notes
    says = text[: notes.start()]
    if not says or not all(old for old, _ in changes):
        raise CourseError(f"line {number}: an entry needs a sentence, and lines with - or a space")
    made = tuple(Change(tuple(old), tuple(new)) for old, new in changes)
    return Mistake(lines[0][3:].strip(), made, says, notes["same"], not notes["diagnosis"])


def _kind(text: str) -> tuple[str, ...] | None:
    """What sort of statement a text is, and what it assigns to; None where it is not a single one."""
    text = textwrap.dedent(text)
    try:
        body = ast.parse(text + (" pass" if text.endswith(":") else "")).body
    except SyntaxError:
        return None
    return _kind_of(body[0]) if len(body) == 1 else None


def _kind_of(node: ast.stmt) -> tuple[str, ...]:
    targets = {"Assign": "targets", "AugAssign": "target", "AnnAssign": "target"}.get(
        type(node).__name__
    )
    named = getattr(node, targets, None) if targets else None
    named = named if isinstance(named, list) else [named] if named else []
    return type(node).__name__, *(ast.unparse(target) for target in named)


@cache
def _statements(source: str) -> tuple[tuple[int, int, tuple[str, ...]], ...]:
    """First line, line after the last, and kind of each statement; of one with a body its head. From 0."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            found.append((node.lineno - 1, end, _kind_of(node)))
    return tuple(found)
