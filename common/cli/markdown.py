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
    code: list[str] | None = None  # of the block that is being read

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
            lines += _code(code or [], width)
            code = [] if code is None else None
        elif code is not None:
            code.append(line)
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
    lines += _code(code or [], width)
    return lines


def _code(block: list[str], width: int) -> list[str]:
    """A block of code, set in as far as its longest line leaves room; what goes on below a line a little more."""
    room = width - max(map(len, block), default=0)
    lead = " " * (min(room, 4) if room >= 0 else 4)
    lines = []
    for line in block:
        whole = len(line) <= width - len(lead)
        first, *rest = [line] if whole else broken_code(line, max(width - len(lead) - 2, 20))
        lines += [lead + first, *(f"{lead}  {piece}" for piece in rest)]
    return lines
