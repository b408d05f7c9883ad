"""What somebody sees who runs a file and looks: for a training run its log and a sample."""

from __future__ import annotations

from types import ModuleType

from common.course.catalogue import Problem
from common.errors import CourseError
from common.judging.explaining import explain
from common.judging.loading import load


def log_of(problem: Problem, module: ModuleType) -> list[str]:
    """Run the file as the problem's symptoms.py does: its lines, and the error that ended it if one did."""
    look = getattr(load(problem.symptoms), "look", None)
    if look is None:
        raise CourseError(f"{problem.symptoms} has no function look(solution)")
    lines: list[str] = []
    try:
        for line in look(module):
            lines.append(line)
    except (Exception, SystemExit) as error:
        facts, _ = explain(error, module)
        lines += ["it ends with an error:", *facts]
    return lines
