"""What runs show of a problem: its reference, skeleton, right answers and known mistakes, each a list of complaints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.course import mistakes
from common.course.catalogue import ROOT, Problem
from common.course.mistakes import Mistake
from common.errors import CourseError, UsageError
from common.grading import table
from common.grading.marks import read_scheme
from common.judging import loading
from common.judging.causes import Certainty, Diagnosis
from common.judging.collecting import checks_of
from common.judging.diagnosis import diagnose, module_with, trouble_with
from common.judging.records import Outcome, Status
from common.judging.runner import outcomes_of, with_excerpt

FEWEST_MISTAKES, FEWEST_RIGHT = 8, 3


def right_answers(problem: Problem) -> list[Path]:
    """Differently written right answers, which have to pass."""
    return sorted(problem.right.glob("*.py"))


def failing(problem: Problem, file: Path) -> list[str]:
    """The checks that a file does not pass, with what they say."""
    try:
        module = loading.load(file)
    except (loading.LoadFailure, NotImplementedError) as error:
        return [str(error)]
    wrong = [o for o in outcomes_of(problem, module) if o.status != Status.PASSED]
    return [f"{o.name}: {' '.join(o.facts)}" for o in wrong]


def skeleton_trouble(problem: Problem) -> list[str]:
    """A skeleton is unfinished, never broken, and passes less than half of the checks."""
    outcomes = outcomes_of(problem, loading.execute(problem.skeleton, problem.solution))
    said = [
        f"on the skeleton {o.name} raises: {o.facts[0]}"
        for o in outcomes
        if o.status == Status.ERROR
    ]
    if not any(o.status == Status.TODO for o in outcomes):
        said.append("no check meets a part that is not written yet")
    passed = sum(o.status == Status.PASSED for o in outcomes)
    if passed >= len(outcomes) / 2:
        said.append(f"the skeleton passes {passed} of {len(outcomes)} checks")
    return said


def names_not_in_the_readme(problem: Problem) -> list[str]:
    """The names of a solution that checks use and the README does not mention."""
    module = loading.load(problem.reference)
    used = {part for check in checks_of(problem) for part in check.run(module).parts}
    text = problem.readme.text
    return sorted(name for name in used if not re.search(rf"\b{name}\b", text))


def family(problem: Problem, mistake: Mistake) -> set[str]:
    """The names of the entries that by their own word behave like this one."""
    known = mistakes.known(problem)
    root = mistake.same_as or mistake.name
    return {m.name for m in known if root in (m.name, m.same_as)}


@dataclass(frozen=True)
class Judged:
    """A known mistake after its run.

    Args:
        trouble: what is wrong with the entry; empty when all is well.
        named: the report names it as a cause; else its check's own sentence stands.
        moved: its lines were found only by likeness.
        outcomes: of all checks; none where it could not be run.
    """

    mistake: Mistake
    trouble: str = ""
    named: bool = False
    moved: bool = False
    outcomes: tuple[Outcome, ...] = ()

    @property
    def complaints(self) -> list[str]:
        """What its author has to mend."""
        moved = (
            "bring its lines with - up to date: one stands nowhere in the reference, and was put in place of what is "
            "most like it"
        )
        moved = moved if self.moved else ""
        return [f"mistake '{self.mistake.name}': {says}" for says in (moved, self.trouble) if says]


def judged(problem: Problem, mistake: Mistake) -> Judged:
    """Whether a known mistake is caught, and taken for nothing else."""
    if why := trouble_with(problem, mistake):
        return Judged(mistake, why)
    moved = mistake.is_moved(problem.reference_text)
    module = module_with(problem, problem.reference_text, (mistake,))
    assert module
    outcomes = tuple(outcomes_of(problem, module))
    wrong = [o for o in outcomes if o.status.is_wrong]
    trouble, named = "", False
    if not wrong:
        trouble = "no check fails"
        return Judged(mistake, trouble, named, moved, outcomes)
    found = diagnose(problem, checks_of(problem), outcomes, budget=600)
    with_excerpt(problem, checks_of(problem), outcomes, found)  # as a report would
    if found:
        trouble = _taken_for(problem, mistake, found)
        named = not trouble
    elif not (wrong[0].because or wrong[0].error):
        trouble = "its report has neither cause nor advice"
    return Judged(mistake, trouble, named, moved, outcomes)


def _taken_for(problem: Problem, mistake: Mistake, found: Diagnosis) -> str:
    """What to do where a diagnosis names another mistake; empty where it names this one."""
    others = [name for name in found.names if name not in family(problem, mistake)]
    sure = found.certainty in (Certainty.CAUSE, Certainty.EITHER)
    if sure and mistake.name in found.names and not others:
        return ""
    names = " and ".join(f"'{name}'" for name in others or found.names)
    says = f"it is taken for {names}: "
    if sure and others:  # they behave alike on all checks
        known = mistakes.known(problem)
        names_in_order = [m.name for m in known]
        other = known[names_in_order.index(others[0])]
        if names_in_order.index(other.name) < names_in_order.index(mistake.name):
            says += f"add `(same as: {other.same_as or other.name})` to the sentence, or "
    return f"{says}write a check that tells the two apart"


def judgements(problem: Problem) -> Iterator[Judged]:
    """All known mistakes after their runs, as they come; none if the list cannot be read."""
    try:
        known = mistakes.known(problem)
    except CourseError:
        return  # list_trouble says why
    yield from (judged(problem, mistake) for mistake in known)


def table_trouble(problem: Problem, found: Sequence[Judged]) -> list[str]:
    """Where GRADING-TABLE.md says something else of a problem of this repository than its mistakes earn."""
    if problem.root != ROOT or not found:
        return []
    kept = table.written().get(problem.label, {})
    try:
        scheme = read_scheme()
        earned = {table.plain(j.mistake): table.step(table.share_of(scheme, problem, j.outcomes))
                  for j in found if j.outcomes}  # fmt: skip
    except UsageError:
        return []  # what is wrong with the requirements is a rule's business
    names = {table.plain(j.mistake) for j in found}
    stale = sorted(name for name, step in earned.items() if kept.get(name) != step)
    stale += sorted(kept.keys() - names)
    if not stale:
        return []
    rest = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
    return [
        f"GRADING-TABLE.md is out of date for {'; '.join(stale[:3])}{rest}: make grading-table ARGS={problem.key}"
    ]


def list_trouble(problem: Problem) -> list[str]:
    """What is wrong with the list of mistakes as a list."""
    try:
        known = mistakes.known(problem)
    except CourseError as error:
        return [f"{error}; until it can be read no mistake is tried"]
    names = [m.name for m in known]
    said = [
        f"the name '{n}' is there twice" for n in sorted({n for n in names if names.count(n) > 1})
    ]
    said += [f"'{m.name}' is the same as '{m.same_as}', which is not there" for m in known
             if m.same_as and m.same_as not in names]  # fmt: skip
    said += [f"the sentence of '{m.name}' has {len(m.says)} characters, not 45 to 330" for m in known
             if not 45 <= len(m.says) <= 330]  # fmt: skip
    if len(known) < FEWEST_MISTAKES:
        said.append(f"there are {len(known)} known mistakes, not at least {FEWEST_MISTAKES}")
    return said


def complaints(problem: Problem) -> Iterator[str]:
    """What runs show, the single mistakes aside, as it comes."""
    yield from (f"the reference fails {text}" for text in failing(problem, problem.reference))
    yield from skeleton_trouble(problem)
    yield from (f"the README does not name {name}" for name in names_not_in_the_readme(problem))
    right = right_answers(problem)
    if len(right) < FEWEST_RIGHT:
        yield f"there are {len(right)} right answers in tests/right/{problem.name}, not at least {FEWEST_RIGHT}"
    for file in right:
        yield from (f"right answer {file.stem} fails {text}" for text in failing(problem, file))
    yield from list_trouble(problem)
