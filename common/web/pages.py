"""What the pages show, from the records to HTML. Templates escape whatever a learner wrote."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from common.course.catalogue import Problem, problems, road, shown
from common.files import text
from common.judging.records import Verdict
from common.judging.restraint import Restraint
from common.learner import progress, work
from common.learner.progress import State
from common.pictures import ideas
from common.pictures.panels import Control
from common.pictures.picture import Picture
from common.review import portion
from common.shell import gpt2
from common.web import markdown

_WIDE = 1 << 20  # columns: the browser breaks lines, not the report
_LONGEST = 4000  # characters of a line that are shown


@dataclass(frozen=True)
class Row:
    """A problem in a list."""

    problem: Problem
    state: State
    note: str

    @property
    def address(self) -> str:
        """Where its page is."""
        return markdown.address(self.problem)

    @property
    def mark(self) -> str:
        """A class for the style sheet."""
        return self.state.replace(" ", "-")


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("common.web"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def fill(template: str, **values: Any) -> str:
    """A template with its values, each of them escaped."""
    return _templates().get_template(f"{template}.html").render(gpt2=gpt2, **values)


def rows(of: tuple[Problem, ...]) -> list[Row]:
    """Where each problem stands."""
    data = progress.read()
    return [Row(p, *progress.state(p, data)) for p in of]


def road_of(problem: Problem | None) -> str:
    """The strip of problems on top, and the next step."""
    return fill("road", **_standing(), here=problem)


def _standing() -> dict[str, Any]:
    """How many problems pass, and which is next."""
    listed = rows(road())
    solved = sum(row.state == State.PASSES for row in listed)
    following = next((row for row in listed if row.state != State.PASSES), None)
    return {"rows": listed, "solved": solved, "following": following}


def home() -> str:
    """All problems, what is due, and the next step."""
    interviews = tuple(p for p in problems() if p.is_interview)
    return fill(
        "home",
        **_standing(),
        here=None,
        parts=_parts(),
        interviews=len(interviews),
        due=portion.line(time.time()),
    )


def _parts() -> dict[str, dict[str, State]]:
    """The functions of problems that are begun."""
    data = progress.read()
    begun = [p for p in road() if progress.state(p, data)[0] == State.IN_PROGRESS]
    return {p.key: progress.part_states(p, data) for p in begun}


def problem_page(problem: Problem, *, think: bool) -> str:
    """The README, and places for the verdict and for pictures."""
    opened = work.open_hints(problem)
    return fill(
        "problem",
        problem=problem,
        file=shown(problem.solution),
        road=Markup(road_of(problem)),
        parts=markdown.parts(problem, opened),
        opened=opened,
        think=think,
        due=portion.line(time.time()),
        pictures=problem.picture.exists(),
        controls=ideas.controls(problem),
    )


def hints(problem: Problem) -> list[dict[str, Any]]:
    """The hints as the page holds them: an id, and its HTML."""
    opened = work.open_hints(problem)
    found = [part for part in markdown.parts(problem, opened) if part.hint]
    return [
        {"id": f"hint-{part.hint}", "html": fill("hint", part=part, opened=opened)}
        for part in found
    ]


def verdict(problem: Problem, verdict: Verdict, restraint: Restraint) -> str:
    """What the terminal's report says, line by line."""
    head, *lines = restraint.lines(verdict, _WIDE)
    question = problem.readme.questions[0] if verdict.passes and problem.readme.questions else None
    return fill(
        "verdict",
        head=head,
        lines=[line(text) for text in lines],
        passes=verdict.passes,
        question=markdown.folded(question, problem) if question else None,
        holds=restraint.holds(verdict),
    )


def verdict_title(problem: Problem, verdict: Verdict) -> str:
    """The title of the page's tab."""
    good = f"{verdict.passed}/{len(verdict.outcomes)}" if verdict.outcomes else "!"
    return f"{'✓' if verdict.passes else good} {problem.label}"


def line(text: str) -> tuple[str, str, str]:
    """A line of a report: its kind, a word that is set apart, and the rest."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} … ({len(text)} characters)"
    for word, kind in (("FAILED", "failed"), ("Cause:", "cause"), ("Next:", "next")):
        if text.lstrip().startswith(word):
            return kind, word, text.lstrip().removeprefix(word).strip()
    if text.startswith("All ") and text.endswith(" pass."):
        return "passed", "", text
    if text.startswith("- "):
        return "item", "", text[2:]
    if text.startswith("  "):
        return "fact", "", text[2:]
    return "plain", "", text


def broken(why: str) -> str:
    """What stands in the verdict's place when nothing is watched any more."""
    return fill("broken", why=why)


def figures(drawn: list[tuple[Picture, str, str]]) -> str:
    """Pictures, by the names under which they can be fetched."""
    return fill("figures", drawn=drawn)


def wrong(controls: list[Control], figures: str) -> str:
    """What is wrong in pictures, with a slider for each axis that does not fit on paper."""
    return fill("wrong", controls=controls, figures=Markup(figures))


def no_picture(lines: list[str]) -> str:
    """Why there is none."""
    return fill("no_picture", lines=lines)


def diff(problem: Problem) -> str:
    """The learner's file against the reference."""
    lines = work.diff_lines(problem)
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return fill("diff", lines=[(kinds.get(line[:1], "same"), line) for line in lines])


def explanation(problem: Problem) -> str:
    """Why the reference is as it is."""
    return markdown.render(text(problem.explanation), problem) or fill(
        "no_picture", lines=["There is none."]
    )


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return fill("message", title=title, text=text)
