"""The catalogue of problems, read from the folders. Nothing here runs a learner's code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from common.errors import CourseError, UnknownProblem

ROOT = Path(__file__).resolve().parent.parent
PROBLEMS = ROOT / "problems"
SOLUTIONS = ROOT / "solutions"

_FOLDER = re.compile(r"(?P<interview>interview-)?(?P<number>\d\d)-[a-z0-9-]+")
_EFFORT = re.compile(r"^\*\*(?P<difficulty>[A-Za-z ]+)\*\* · about (?P<minutes>\d+) minutes", re.M)
_FOLDED = re.compile(
    r"<details>\s*<summary>(?P<title>[^<]*)</summary>\s*(?P<text>.*?)\s*</details>", re.S
)


@dataclass(frozen=True)
class Problem:
    """One problem: a folder in problems/ and one of the same name in solutions/."""

    name: str  # "05-causal-masking"

    @property
    def key(self) -> str:
        """What one types for it: "05", or "interview-01"."""
        return self.name[: 12 if self.is_interview else 2]

    @property
    def is_interview(self) -> bool:
        return self.name.startswith("interview-")

    @property
    def folder(self) -> Path:
        return PROBLEMS / self.name

    @property
    def solution(self) -> Path:
        """The learner's file."""
        return self.folder / "solution.py"

    @property
    def readme(self) -> Path:
        return self.folder / "README.md"

    @property
    def tests(self) -> Path:
        slug = _FOLDER.fullmatch(self.name)
        assert slug, self.name
        stem = self.name.split("-", 2 if self.is_interview else 1)[-1].replace("-", "_")
        return self.folder / f"test_{stem}.py"

    @property
    def reference(self) -> Path:
        return SOLUTIONS / self.name / "solution.py"

    @property
    def skeleton(self) -> Path:
        """The untouched copy of what problems/ started with."""
        return SOLUTIONS / self.name / "skeleton.py"

    @property
    def mistakes(self) -> Path:
        return SOLUTIONS / self.name / "mistakes.py"

    @cached_property
    def readme_text(self) -> str:
        try:
            return self.readme.read_text(encoding="utf-8")
        except OSError:
            return ""

    @property
    def title(self) -> str:
        """The README's first heading without its number."""
        first = self.readme_text.partition("\n")[0]
        return re.sub(r"^# (?:(?:Interview )?\d\d · )?", "", first).strip() or self.name

    @property
    def difficulty(self) -> str:
        found = _EFFORT.search(self.readme_text)
        return found["difficulty"] if found else "Unrated"

    @property
    def minutes(self) -> int:
        """An honest guess for someone who meets the idea for the first time."""
        found = _EFFORT.search(self.readme_text)
        return int(found["minutes"]) if found else 0

    @property
    def hints(self) -> list[tuple[str, str]]:
        """The README's folded hints, in order: (title, markdown)."""
        folded = [(m["title"].strip(), m["text"]) for m in _FOLDED.finditer(self.readme_text)]
        return [(title, text) for title, text in folded if title.startswith("Hint")]

    @property
    def questions(self) -> list[tuple[str, str]]:
        """The folded questions of "Go further", in order: (question, answer in markdown)."""
        text = self.readme_text.partition("## Go further")[2].partition("\n## ")[0]
        return [(m["title"].strip(), m["text"]) for m in _FOLDED.finditer(text)]


@cache
def problems() -> tuple[Problem, ...]:
    """All problems in the order of the road: the numbered ones, then the interviews."""
    if not PROBLEMS.is_dir():
        raise CourseError(f"{PROBLEMS} is missing: run this from a checkout of the repository")
    # A copy that a learner keeps beside the original has no folder of its name in solutions/.
    names = [
        p.name
        for p in PROBLEMS.iterdir()
        if _FOLDER.fullmatch(p.name) and (SOLUTIONS / p.name).is_dir()
    ]
    return tuple(Problem(n) for n in sorted(names, key=lambda n: (n.startswith("interview-"), n)))


def find(text: str | int) -> Problem:
    """The problem that a person means by "5", "05", "05-causal-masking", "interview-1" or a path.

    Raises:
        UnknownProblem: none, with what there is.
    """
    wanted = str(text).strip().rstrip("/")
    wanted = Path(wanted).name if "/" in wanted or "\\" in wanted else wanted
    number = re.fullmatch(r"(interview-)?(\d+)", wanted)
    key = f"{number[1] or ''}{int(number[2]):02d}" if number else wanted
    for candidate in problems():
        if key in (candidate.key, candidate.name):
            return candidate
    known = problems()
    raise UnknownProblem(
        f"there is no problem {text}; problems run from {known[0].name} to {known[-1].name} "
        "(uv run gpt2 list)"
    )


def holding(path: Path) -> Problem | None:
    """The problem whose folder in problems/ holds this path, if any."""
    try:
        name = path.resolve().relative_to(PROBLEMS).parts[0]
    except (ValueError, IndexError):
        return None
    return next((p for p in problems() if p.name == name), None)


def shown(path: Path) -> str:
    """The path as a report prints it: relative to the checkout where it lies inside."""
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)
