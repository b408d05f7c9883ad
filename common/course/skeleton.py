"""The skeleton that a learner starts from is made from the reference, which marks what is to be written.

# lesson: about 6 lines. Scores, mask, softmax     from here to the end of the function
# instead: def __init__(self, **fields) -> None:   what stands there instead of the lines left out
# end of lesson                                    where the lesson ends before the function does
import math  # lesson                              a line that only the reference has
def _fetch(name):  # given                         a helper that a learner gets; others are left out
"""

from __future__ import annotations

import ast
import re
import textwrap
from functools import cache

from common.course.outline import around, name_at
from common.errors import CourseError

_LESSON = re.compile(r"(?P<indent> *)# lesson(?:: (?P<says>.*))?$")
_INSTEAD = re.compile(r" *# instead: (?P<code>.*)$")
_END = re.compile(r" *# end of lesson$")
_TRAILING = re.compile(r"  # (?:lesson|given)$")
_WIDTH = 112


def without_marks(reference: str) -> str:
    """The reference as a reader wants it."""
    lines = [
        _TRAILING.sub("", line)
        for line in reference.splitlines()
        if not (_LESSON.match(line) or _INSTEAD.match(line) or _END.match(line))
    ]
    return "\n".join(lines) + "\n"


@cache
def skeleton(reference: str, key: str) -> str:
    """What a learner starts from.

    Args:
        key: of the problem, "05", for the TODO and for the error that stands for it.

    Raises:
        CourseError: a mark that cannot be understood, with its line.
    """
    tree = ast.parse(reference)
    lines = reference.splitlines()
    left_out = _private(tree, lines)
    out: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if number in left_out:
            number = left_out[number]
            while out and not out[-1].strip():  # the blank lines above it
                out.pop()
            continue
        if found := _LESSON.match(line):
            end, resume = _end(tree, lines, number)
            if found["says"] is not None:
                out += _hole(tree, lines[number:end], found, key, number)
            number = resume
            continue
        number += 1
        if not line.endswith("  # lesson"):
            out.append(_TRAILING.sub("", line))
        elif out and not out[-1] and number < len(lines) and not lines[number]:
            number += 1  # one blank line where there were two
    return "\n".join(out).rstrip() + "\n"


def _hole(
    tree: ast.Module, block: list[str], found: re.Match[str], key: str, number: int
) -> list[str]:
    indent, says = found["indent"], found["says"]
    lead = f"{indent}# "
    out = textwrap.wrap(
        f"TODO({key}): {says}", _WIDTH, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False
    )  # fmt: skip
    name = name_at(tree, number + 1)
    instead = [m["code"] for line in block[1:] if (m := _INSTEAD.match(line))]
    if instead:
        out += ["", *(indent + code for code in instead)]
        if inner := re.match(r"def (\w+)", instead[-1]):
            name, indent = f"{name}.{inner[1]}" if name else inner[1], indent + "    "
    if not name:
        raise CourseError(
            f"line {number + 1}: a lesson stands in a function, or says what is there instead"
        )
    return [*out, f'{indent}raise NotImplementedError("problem {key}: {name}")']


def _end(tree: ast.Module, lines: list[str], start: int) -> tuple[int, int]:
    """The line after the last of a lesson, and the line to go on with; both count from 0."""
    for number in range(start + 1, len(lines)):
        if _END.match(lines[number]):
            return number, number + 1
        if _LESSON.match(lines[number]):
            break
    function = [n for n in around(tree, start + 1) if isinstance(n, ast.FunctionDef)]
    if not function:
        raise CourseError(f"line {start + 1}: this lesson has no end: `# end of lesson`")
    end = function[-1].end_lineno
    assert end is not None
    return end, end


def _private(tree: ast.Module, lines: list[str]) -> dict[int, int]:
    """First line of each helper that a learner does not get, and the line after it; from 0."""
    out = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or not node.name.startswith("_"):
            continue
        if node.name.endswith("__") or lines[node.lineno - 1].endswith("# given"):
            continue
        assert node.end_lineno is not None
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        out[first - 1] = node.end_lineno
    return out
