"""Both files of an interview beside one another, as wide as the terminal is."""

from __future__ import annotations

import difflib

from common.cli import learn
from common.cli.screen import broken
from common.interviewing.debrief import aligned


def compared(mine: str, reference: str, width: int) -> list[str]:
    """Two texts beside one another where there is room for both, else one after the other, change by change."""
    widest = max(map(len, [*mine.splitlines(), *reference.splitlines(), ""]))
    if 2 * widest + 3 <= width:
        return side_by_side(mine, reference, width)
    changes = difflib.unified_diff(
        mine.splitlines(), reference.splitlines(), "yours", "the reference", lineterm="", n=999
    )
    painted = [learn.painted_diff(part) for line in changes for part in broken(line, width)]
    return painted or ["Yours and the reference are the same."]


def side_by_side(mine: str, reference: str, width: int = 80) -> list[str]:
    """Two texts in two columns, lines that differ marked."""
    column = (width - 3) // 2
    rows = [f"{'yours':<{column}}   the reference", ""]

    def row(a: str, mark: str, b: str) -> str:
        return f"{a[:column]:<{column}} {mark} {b[:column]}".rstrip()

    rows += [row(a, " " if same else "|", b) for a, same, b in aligned(mine, reference)]
    return rows
