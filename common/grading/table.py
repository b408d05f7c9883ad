"""What every known mistake earns, as GRADING-TABLE.md shows it.

python -m common.grading.table          writes the file anew, which takes a few minutes
python -m common.grading.table 05 13    only what it says of these problems
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction

from common.course.catalogue import ROOT, Problem, find, problems
from common.course.mistakes import Mistake, known
from common.errors import CourseError
from common.files import write_atomically
from common.grading.marks import Scheme, read_scheme
from common.judging.diagnosis import module_with
from common.judging.records import Outcome, Status
from common.judging.runner import outcomes_of

FILE = ROOT / "GRADING-TABLE.md"
STEPS = ("nothing", "up to a third", "up to two thirds", "more", "all")
Table = dict[str, dict[str, str]]  # by the problem's label and the mistake's name its step
_HEAD = """# What known mistakes earn

Made by `make grading-table` from each problem's `mistakes.diff` and `common/grading/requirements.toml`: the
share of the problem's points that is left to an answer with this one mistake in it. A test compares a few, and
`make grading-full` all of them, so that a change of the requirements or of a check shows here what it does to
the marks.

"""


def share(scheme: Scheme, problem: Problem, mistake: Mistake) -> Fraction:
    """The part of the points that the reference with this mistake earns."""
    module = module_with(problem, problem.reference_text, (mistake,))
    if module is None:
        return Fraction()  # the file does not even load
    return share_of(scheme, problem, outcomes_of(problem, module))


def share_of(scheme: Scheme, problem: Problem, outcomes: Sequence[Outcome]) -> Fraction:
    """The part of the points that these outcomes of all checks earn."""
    passed = [o.name for o in outcomes if o.status == Status.PASSED]
    earned = scheme.earned(problem, [o.name for o in outcomes], passed)
    return sum((e.points for e in earned), Fraction()) / scheme.points(problem)


def step(part: Fraction) -> str:
    """The share in coarse steps."""
    limits = (Fraction(0), Fraction(1, 3), Fraction(2, 3))
    if part == 1:
        return STEPS[4]
    return next((name for name, most in zip(STEPS, limits, strict=False) if part <= most), STEPS[3])


def steps(problem: Problem) -> dict[str, str]:
    """The step of each of a problem's known mistakes, by its name as the file has it."""
    scheme = read_scheme()
    return {plain(m): step(share(scheme, problem, m)) for m in known(problem)}


def plain(mistake: Mistake) -> str:
    """Its name, without what separates the names in the file."""
    return mistake.name.replace(";", ",")


def text(table: Mapping[str, Mapping[str, str]]) -> str:
    """The file: how many mistakes are in which step, and their names."""
    lines = [_HEAD + f"| problem | {' | '.join(STEPS)} |", "| --- |" + " --- |" * len(STEPS)]
    for label, found in table.items():
        counts = (sum(s == each for s in found.values()) for each in STEPS)
        lines.append(f"| {label} | {' | '.join(map(str, counts))} |")
    for label, found in table.items():
        lines += ["", f"## {label}", ""]
        for each in STEPS:
            if names := [name for name, s in found.items() if s == each]:
                lines.append(f"- {each}: {'; '.join(names)}")
    return "\n".join(lines) + "\n"


def written() -> Table:
    """What the file holds."""
    found: Table = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            found[line[3:]] = own = {}
        elif line.startswith("- "):
            kind, _, names = line[2:].partition(": ")
            own.update(dict.fromkeys(names.split("; "), kind))
    return found


def main(arguments: list[str]) -> None:
    """Write the file; what cannot be read ends it in a sentence."""
    try:
        _write(arguments)
    except CourseError as error:
        raise SystemExit(str(error)) from None


def _write(arguments: list[str]) -> None:
    chosen = [find(name) for name in arguments] or problems()
    known_ones = written() if arguments and FILE.is_file() else {}
    made = known_ones | {p.label: steps(p) for p in chosen}
    write_atomically(FILE, text({p.label: made[p.label] for p in problems() if p.label in made}))


if __name__ == "__main__":
    main(sys.argv[1:])
