"""What every known mistake earns, as GRADING-TABLE.md shows it.

    python -m common.grading.table          writes the file anew
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from common.course.catalogue import ROOT, Problem, problems
from common.course.mistakes import Mistake, known
from common.files import write_atomically
from common.grading.marks import Scheme, read_scheme
from common.judging.collecting import checks_of
from common.judging.diagnosis import module_with
from common.judging.records import Status

FILE = ROOT / "GRADING-TABLE.md"
STEPS = ("nothing", "up to a third", "up to two thirds", "more", "all")
_HEAD = """# What known mistakes earn

Made by `make grading-table` from each problem's `mistakes.diff` and `common/grading/requirements.toml`: the
share of the problem's points that is left to an answer with this one mistake in it. A test keeps the step of
each, so that a change of the requirements or of a check shows here what it does to the marks.

"""


def share(scheme: Scheme, problem: Problem, mistake: Mistake) -> Fraction:
    """The part of the points that the reference with this mistake earns."""
    module = module_with(problem, problem.reference_text, (mistake,))
    if module is None:
        return Fraction()  # the file does not even load
    checks = checks_of(problem)
    passed = [c.name for c in checks if c.run(module).status == Status.PASSED]
    earned = scheme.earned(problem, [c.name for c in checks], passed)
    return sum((e.points for e in earned), Fraction()) / scheme.points(problem)


def step(part: Fraction) -> str:
    """The share in coarse steps."""
    limits = (Fraction(0), Fraction(1, 3), Fraction(2, 3))
    if part == 1:
        return STEPS[4]
    return next((name for name, most in zip(STEPS, limits, strict=False) if part <= most), STEPS[3])


def table(chosen: Sequence[Problem]) -> Iterator[str]:
    """The file's sections, one for each problem."""
    scheme = read_scheme()
    for problem in chosen:
        yield f"## {problem.label}\n\n| mistake | of {float(scheme.points(problem)):g} points | step |\n| --- | --- | --- |\n"
        for mistake in known(problem):
            part = share(scheme, problem, mistake)
            points = float(part * scheme.points(problem))
            yield f"| {mistake.name.replace('|', '¦')} | {points:.2f} | {step(part)} |\n"
        yield "\n"


def written() -> dict[tuple[str, str], str]:
    """The steps that the file holds, by the problem's label and the mistake's name."""
    found, label = {}, ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            label = line[3:]
        elif line.startswith("| ") and not line.startswith(("| mistake", "| ---")):
            name, _, kind = (cell.strip() for cell in line.strip("|").split("|"))
            found[label, name] = kind
    return found


if __name__ == "__main__":
    write_atomically(FILE, _HEAD + "".join(table(problems())).rstrip() + "\n")
