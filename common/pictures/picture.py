"""A picture, and the three ways to show it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

from common.pictures import letters
from common.pictures.panels import Panel, panel_from_json, panel_to_json
from common.text.visible import visible


@dataclass(frozen=True)
class Picture:
    """Panels with a title.

    Args:
        alt: in a sentence or two what is seen, for who does not see it.
        note: whose code drew it, and what else has to be known.
        across: how many panels stand side by side.
    """

    title: str
    alt: str
    panels: tuple[Panel, ...]
    note: str = ""
    across: int = 2

    def to_json(self) -> str:
        panels = [panel_to_json(p) for p in self.panels]
        return json.dumps([self.title, self.alt, panels, self.note, self.across])

    @classmethod
    def from_json(cls, text: str) -> Picture:
        title, alt, panels, note, across = json.loads(text)
        return cls(title, alt, tuple(map(panel_from_json, panels)), note, across)

    def svg(self, theme: str = "light") -> str:
        """The panels as an SVG element, for a page that tells title and note itself.

        Args:
            theme: "light", "dark", or "auto", which has both and shows what the reader prefers.

        Raises:
            CourseError: matplotlib is not installed.
        """
        from common.pictures import drawing

        return drawing.svg(self.panels, self.across, self.alt, theme)

    def png(self, path: Path, theme: str = "light") -> None:
        """Write all of it, title and note too, as a PNG; whole or not at all.

        Raises:
            CourseError: matplotlib is not installed. OSError: the file cannot be written.
        """
        from common.pictures import drawing

        drawing.png(self.panels, self.across, self.title, self.note, path, theme)

    def text(self, width: int = 80) -> str:
        """All of it in lines of at most that many columns."""
        blocks = ["\n".join(letters.lines_of(panel, width)) for panel in self.panels]
        told = [textwrap.fill(visible(t), width) for t in (self.title, self.note)]
        return "\n\n".join(filter(None, [told[0], *blocks, told[1]]))
