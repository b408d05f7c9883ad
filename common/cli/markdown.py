"""Markdown as a terminal shows it: paragraphs in 80 columns, code as it is."""

from __future__ import annotations

import re
import textwrap

from common.judging.report import broken_code

WIDTH = 80


def plain(markdown: str, width: int = WIDTH) -> list[str]:
    """Lines for a terminal. Headings stand alone, list items hang, code is set in, tables stay."""
    lines: list[str] = []
    paragraph: list[str] = []
    in_code = False

    def flush() -> None:
        if paragraph:
            first = re.match(r"\s*(?:[-*]|\d+\.)\s+", paragraph[0])
            indent = " " * (len(first[0]) if first else 0)
            text = " ".join(line.strip() for line in paragraph)
            lead = re.match(r"\s*", paragraph[0])
            lines.extend(
                textwrap.wrap(
                    (lead[0] if lead else "") + text.lstrip(), width, subsequent_indent=indent
                )
            )
            paragraph.clear()

    for line in markdown.splitlines():
        if line.startswith("```"):
            flush()
            in_code = not in_code
        elif in_code:
            lines += _code(line, width)
        elif not line.strip():
            flush()
            if lines and lines[-1]:
                lines.append("")
        elif line.startswith("#"):
            flush()
            lines += textwrap.wrap(line.lstrip("# ").upper(), width) or [""]
        elif line.startswith("|"):
            flush()
            lines += broken_code(line, width)
        else:
            if re.match(r"\s*(?:[-*]|\d+\.)\s", line):
                flush()
            line = re.sub(r"!\[(.*?)\]\(.*?\)", r"Picture: \1", line)
            paragraph.append(re.sub(r"\*\*(.+?)\*\*", r"\1", line))
    flush()
    return lines


def _code(line: str, width: int) -> list[str]:
    """A line of code, set in; what goes on below it a little more."""
    whole = len(line) <= width - 4
    first, *rest = [line] if whole else broken_code(line, max(width - 6, 20))
    return ["    " + first, *("      " + piece for piece in rest)]
