"""A card that is done in a file: what the file begins as, whether it is done, and what is shown instead."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from common.course.catalogue import ROOT, shown
from common.course.outline import definitions
from common.errors import CourseError
from common.files import write_atomically
from common.judging.loading import read_source
from common.judging.records import Outcome, Request, Status, Verdict
from common.judging.report import report
from common.review import deck
from common.review.cards import Card, Kind
from common.review.deck import Deck
from common.review.memory import Grade

FOLDER = ROOT / "reviews"
LIMIT = 10.0  # seconds that the checks may take
_SLOW = 2  # times the estimate
_FAILING = 3  # saves


@dataclass(frozen=True)
class Task:
    """A file that is to be made to pass.

    Args:
        given: what it began as. resumed: it lies there as it was left.
    """

    card: Card
    given: str
    resumed: bool

    @property
    def file(self) -> Path:
        """What the learner edits."""
        return _file(self.card)

    @property
    def request(self) -> Request:
        return Request(
            self.card.problem.name,
            self.file,
            "given",
            cause=self.card.kind == Kind.WRITE,
            limit=LIMIT,
        )

    def asked(self, verdict: Verdict) -> Verdict:
        """The verdict on what the card asks for: of the checks, those that use the part to write."""
        if self.card.kind == Kind.HUNT:
            return verdict
        outcomes = tuple(o for o in verdict.outcomes if self.card.what in o.parts)
        names = {o.name for o in outcomes}
        known = (
            verdict.diagnosis if verdict.diagnosis and verdict.diagnosis.check in names else None
        )
        line = verdict.first_line if known else None
        return replace(verdict, outcomes=outcomes, diagnosis=known, first_line=line)

    def said(self, asked: Verdict, width: int) -> list[str]:
        """What a save shows that does not pass; of a bug no cause, for that is what is to be found."""
        if asked.loads and not asked.wrong:
            open_ = sum(o.status == Status.TODO for o in asked.outcomes)
            return [f"Not written yet: {open_} of {len(asked.outcomes)} checks wait for it."]
        lines = report(asked, width=width, cause=self.card.kind == Kind.WRITE)[1:]
        end = next((n for n, line in enumerate(lines) if line.startswith("Next: ")), len(lines))
        return lines[:end]

    def answer(self) -> list[str]:
        """What is shown to whoever gives up: the learner's own version, or the planted line."""
        card = self.card
        if card.kind == Kind.WRITE:
            lines, (first, end) = _own(card)
            return ["Yours, as it passes:", "", *lines[first:end]]
        right, wrong = card.problem.reference_text.splitlines(), self.given.splitlines()
        lines = ["The bug, - as it was planted and + as it is right:", ""]
        matcher = difflib.SequenceMatcher(None, wrong, right, autojunk=False)
        for kind, i, j, k, m in matcher.get_opcodes():
            if kind != "equal":
                lines += [f"line {i + 1}", *(f"- {x}" for x in wrong[i:j])]
                lines += [f"+ {x}" for x in right[k:m]]
        return lines


def prepare(card: Card, known: Deck) -> Task:
    """Put the card's file into reviews/, or leave the one that was begun there as it is.

    Raises:
        CourseError: the file cannot be made.
    """
    text = _written(card) if card.kind == Kind.WRITE else _planted(card, known)
    resumed = known.begun.get(card.problem.name) == card.id and _file(card).is_file()
    if not resumed:
        write_atomically(_file(card), text)
        deck.begin(card.problem.name, card.id)
    return Task(card, text, resumed)


def is_failing(asked: Verdict) -> bool:
    """Whether a save counts as a failing one: it is wrong, not only unfinished."""
    return not asked.loads or bool(asked.wrong)


def grade(card: Card, seconds: float, failing: int) -> Grade:
    """The grade of a file that passes, after so many saves that failed."""
    hard = seconds > _SLOW * 60 * card.minutes or failing > _FAILING
    return Grade.HARD if hard else Grade.GOOD


def checks(of: tuple[Outcome, ...]) -> str:
    """ "all 7 checks pass"."""
    return f"all {len(of)} checks pass" if len(of) > 1 else "the check passes"


def _file(card: Card) -> Path:
    return FOLDER / card.problem.name / "solution.py"


def _own(card: Card) -> tuple[list[str], tuple[int, int]]:
    """The lines of the learner's file, and where in it what the card asks for stands.

    Raises:
        CourseError: it was edited meanwhile.
    """
    mine = read_source(card.problem.solution)
    try:
        return mine.split("\n"), _span(definitions(mine)[card.what])
    except (KeyError, SyntaxError):
        where = shown(card.problem.solution)
        raise CourseError(f"{where} has no {card.what} now that Python can read") from None


def _written(card: Card) -> str:
    """The learner's file with one definition as the skeleton has it."""
    lines, (first, end) = _own(card)
    skeleton = card.problem.skeleton
    start, stop = _span(definitions(skeleton)[card.what])
    lines[first:end] = skeleton.split("\n")[start:stop]
    return "\n".join(lines)


def _planted(card: Card, known: Deck) -> str:
    from common.hunting.composing import compose

    memory = known.memories.get(card.id)
    seed = 1000 * (memory.reviews if memory else 0)  # another bug each time
    return compose(level=1, seed=seed, problem=card.problem).text


def _span(node: ast.FunctionDef | ast.ClassDef) -> tuple[int, int]:
    """The lines of a definition with its decorators, from 0 up to the one after the last."""
    assert node.end_lineno is not None
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return first - 1, node.end_lineno
