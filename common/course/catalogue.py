"""The catalogue of problems: this course's folders, and an instructor's own if there are any."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path

from common.course.readme import Readme
from common.course.skeleton import skeleton, without_marks
from common.errors import CourseError, UnknownProblem, UsageError
from common.shell import gpt2

ROOT = Path(__file__).resolve().parent.parent.parent
PROBLEMS = ROOT / "problems"
OWN = (
    "GPT2_COURSE"  # environment variable: a folder with problems/ and solutions/ of an instructor's
)

HUNTS = ROOT / "hunts"  # laid out like a course of its own, found by name alone

_FOLDER = re.compile(r"(?P<interview>interview-)?(?P<number>\d\d)-[a-z0-9-]+")


@dataclass(frozen=True)
class Problem:
    """One problem: a folder in problems/ and one of the same name in solutions/, both below `root`."""

    name: str  # "05-causal-masking"
    root: Path = ROOT

    @property
    def key(self) -> str:
        """What one types for it: "05", or "interview-01"."""
        return self.name[: 12 if self.is_interview else 7 if self.is_hunt else 2]

    @property
    def is_interview(self) -> bool:
        return self.name.startswith("interview-")

    @property
    def is_hunt(self) -> bool:
        return self.name.startswith("hunt-")

    @property
    def label(self) -> str:
        """What a heading calls it: "05 Causal masking", "Interview 01 GPT-2 from scratch"."""
        if self.is_hunt:
            return self.title
        number = f"Interview {self.key[-2:]}" if self.is_interview else self.key
        return f"{number} {self.title}"

    @property
    def slug(self) -> str:
        return self.name.split("-", 1 + (self.is_interview or self.is_hunt))[-1]

    @property
    def folder(self) -> Path:
        return self.root / "problems" / self.name

    @property
    def solution(self) -> Path:
        """The learner's file."""
        return self.folder / "solution.py"

    @property
    def readme_file(self) -> Path:
        return self.folder / "README.md"

    @property
    def tests(self) -> list[Path]:
        """The test files, in the order in which their checks run: that of their names."""
        return sorted(self.folder.glob("test_*.py"))

    @property
    def answers(self) -> Path:
        """The folder with reference, mistakes and whatever else gives the answer away."""
        return self.root / "solutions" / self.name

    @property
    def reference(self) -> Path:
        return self.answers / "solution.py"

    @property
    def mistakes(self) -> Path:
        return self.answers / "mistakes.diff"

    @property
    def picture(self) -> Path:
        """What draws its idea, where it has a picture."""
        return self.answers / "picture.py"

    @property
    def right(self) -> Path:
        """The folder with right answers that are written differently."""
        return self.root / "tests" / "right" / self.name

    @property
    def explanation(self) -> Path:
        """What is read after a pass: why the reference is as it is; of an interview, how to go about it."""
        return self.answers / ("APPROACH.md" if self.is_interview else "EXPLAINED.md")

    @property
    def reference_text(self) -> str:
        """The reference without the marks that the skeleton is made by."""
        return without_marks(_read(self.reference))

    @property
    def skeleton(self) -> str:
        """What the learner's file starts as: the reference without the lesson, or a given.py where there is one."""
        if (given := self.answers / "given.py").exists():
            return _read(given)
        try:
            return skeleton(_read(self.reference), self.key)
        except (CourseError, SyntaxError) as error:
            raise CourseError(f"{shown(self.reference)}: {error}") from None

    @cached_property
    def readme(self) -> Readme:
        try:
            return Readme(self.readme_file.read_text(encoding="utf-8"))
        except OSError:
            return Readme("")

    @property
    def symptoms(self) -> Path:
        """For a hunt: what somebody who runs the file looks at."""
        return self.folder / "symptoms.py"

    @property
    def title(self) -> str:
        return self.readme.title or self.name


@cache
def problems() -> tuple[Problem, ...]:
    """All problems in the order of the road: the numbered ones, then the interviews.

    Raises:
        CourseError: there are none. UsageError: two problems have one number.
    """
    if not PROBLEMS.is_dir():
        raise CourseError(f"{PROBLEMS} is missing: run this from a checkout of the repository")
    roots = [ROOT]
    if own := os.environ.get(OWN):
        roots.append(Path(own).expanduser().resolve())
        if not (roots[-1] / "problems").is_dir():
            raise UsageError(f"{OWN} names {own}, which holds no folder problems/")
    found = [problem for root in roots for problem in _below(root)]
    found.sort(key=lambda p: (p.is_interview, p.name))
    for one, other in pairwise(found):
        if one.key == other.key:
            raise UsageError(
                f"{one.name} and {other.name} have the same number: rename one of them"
            )
    return tuple(found)


def road() -> tuple[Problem, ...]:
    """The numbered problems."""
    return tuple(p for p in problems() if not p.is_interview)


@cache
def hunted() -> tuple[Problem, ...]:
    """The files that are there only to be searched for bugs. No other list names them."""
    folders = sorted((HUNTS / "problems").glob("hunt-*"))
    return tuple(Problem(folder.name, HUNTS) for folder in folders if folder.is_dir())


def _below(root: Path) -> list[Problem]:
    # A copy that a learner keeps beside the original has no folder of its name in solutions/.
    return [
        Problem(p.name, root)
        for p in (root / "problems").iterdir()
        if _FOLDER.fullmatch(p.name) and (root / "solutions" / p.name).is_dir()
    ]


def find(text: str | int, among: Sequence[Problem] | None = None) -> Problem:
    """The problem that a person means by "5", "05", "interview-1", "causal", "05-causal-masking" or a path.

    Args:
        among: those it may be; by default all, and what is hunted in by its whole name.

    Raises:
        UnknownProblem: none, or several, with what there is.
    """
    wanted = str(text).strip().rstrip("/\\").lower()
    wanted = re.split(r"[/\\]", wanted.removesuffix("/solution.py").removesuffix("\\solution.py"))[
        -1
    ]
    for candidate in hunted() if among is None else ():
        if wanted == candidate.name:
            return candidate
    number = re.fullmatch(r"(interview[- _]?|i)?(\d+)", wanted)
    key = f"{'interview-' if number[1] else ''}{int(number[2]):02d}" if number else wanted
    known = problems() if among is None else among
    for candidate in known:
        if key in (candidate.key, candidate.name, candidate.slug):
            return candidate
    partly = [p for p in known if wanted and not number and wanted in f"{p.name} {p.title.lower()}"]
    if len(partly) == 1:
        return partly[0]
    if partly:
        raise UnknownProblem(f"{text} could be {_either([p.name for p in partly])}: name one")
    meant = "" if number else _meant(wanted, known)
    raise UnknownProblem(f"there is no problem {text}; {meant or _range(known)}")


def _meant(wanted: str, known: Sequence[Problem]) -> str:
    words = {word: p for p in reversed(known) for word in [*p.slug.split("-"), p.slug, p.name]}
    close = difflib.get_close_matches(wanted, words, n=3, cutoff=0.55)
    if close:
        return f"did you mean {_either(sorted({words[word].name for word in close}))}?"
    return ""


def _range(known: Sequence[Problem]) -> str:
    lists = gpt2("interview" if known[0].is_interview else "list")
    return f"problems run from {known[0].name} to {known[-1].name} ({lists})"


def _either(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else names[0]


def holding(path: Path) -> Problem | None:
    """The problem whose folder in problems/ holds this path, if any."""
    path = path.resolve()
    return next((p for p in problems() if path.is_relative_to(p.folder)), None)


def shown(path: Path) -> str:
    """The path as a report prints it: relative to the checkout where it lies inside."""
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CourseError(
            f"{shown(path)} is missing: `git checkout {shown(path)}` brings it back"
        ) from None
