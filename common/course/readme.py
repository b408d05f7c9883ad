"""What a problem's README says, part by part."""

from __future__ import annotations

import re
from dataclasses import dataclass

_EFFORT = re.compile(r"^\*\*(?P<difficulty>[A-Za-z ]+)\*\* · about (?P<minutes>\d+) minutes", re.M)
_FOLDED = re.compile(
    r"<details>\s*<summary>(?P<title>[^<]*)</summary>\s*(?P<text>.*?)\s*</details>", re.S
)
_EXAMPLE = re.compile(r"(?:\*\*(Example \d+\.)\*\*\s*(.*?)\s*)?^```pycon\n(.*?)^```", re.S | re.M)


@dataclass(frozen=True)
class Folded:
    """Something that opens on request: a hint, or the answer to a question."""

    title: str
    text: str  # Markdown


@dataclass(frozen=True)
class Example:
    """One block of `>>>` lines with what they print, and the sentence above it."""

    caption: str
    source: str


@dataclass(frozen=True)
class Readme:
    """A problem's README."""

    text: str

    @property
    def title(self) -> str:
        """The first heading without its number; empty where there is none."""
        first = self.text.partition("\n")[0]
        return re.sub(r"^# (?:(?:Interview )?\d\d · )?", "", first).strip()

    @property
    def difficulty(self) -> str:
        found = _EFFORT.search(self.text)
        return found["difficulty"] if found else "Unrated"

    @property
    def minutes(self) -> int:
        """An honest guess for someone who meets the idea for the first time."""
        found = _EFFORT.search(self.text)
        return int(found["minutes"]) if found else 0

    @property
    def hints(self) -> list[Folded]:
        return [f for f in _folded(self.text) if f.title.startswith("Hint")]

    @property
    def questions(self) -> list[Folded]:
        """Those of "Go further", with their answers."""
        return _folded(self.section("Go further"))

    @property
    def examples(self) -> list[Example]:
        """The blocks of the section Examples, in order."""
        return [
            Example(f"{number or 'Example.'} {' '.join(caption.split())}".strip(), source)
            for number, caption, source in _EXAMPLE.findall(self.section("Examples"))
        ]

    @property
    def task(self) -> str:
        """What a candidate is given: all from the task to the hints."""
        return "## Task" + self.text.partition("\n## Task")[2].partition("\n## Hints")[0]

    def section(self, heading: str) -> str:
        """The text below that heading."""
        return self.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _folded(text: str) -> list[Folded]:
    return [Folded(m["title"].strip(), m["text"]) for m in _FOLDED.finditer(text)]
