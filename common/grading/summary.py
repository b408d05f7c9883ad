"""From results to the report that all formats are written from: plain data, nothing of it trusted."""

from __future__ import annotations

import datetime
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from common.course.catalogue import Problem
from common.grading.classes import Graded, Grader, Result
from common.grading.marks import Earned, Scheme, rounded
from common.grading.similar import Pair
from common.judging.records import Outcome, Status
from common.text.visible import visible

VERSION = 2
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CAUSES = 25


def clean(text: object, most: int = 600) -> str:
    """Text of a student's on one line: no escape sequence, control or direction mark survives."""
    text = _ESCAPES.sub("", str(text)[: 4 * most])
    text = text.encode("utf-8", "replace").decode("utf-8")
    return visible(re.sub(r"[\t\n\r]", " ", text))[:most]


def sentence(name: str) -> str:
    """A check's name as a person reads it."""
    return clean(Outcome(name, Status.PASSED).sentence, 200)


class Report:
    """Makes the report of a class.

    Args:
        head: what held while it was graded, a sentence each.
        due: what was changed after it is late.
    """

    def __init__(
        self, problems: Sequence[Problem], scheme: Scheme, grader: Grader, head: Sequence[str],
        due: datetime.datetime | None = None,
    ) -> None:  # fmt: skip
        self.problems, self.scheme, self.grader, self.head, self.due = (
            problems,
            scheme,
            grader,
            head,
            due,
        )

    def of(self, graded: Sequence[Graded], similar: Sequence[Pair] = ()) -> dict[str, Any]:
        """The whole class, as report.json holds it."""
        return {
            "version": VERSION,
            "head": [*self.head],
            "problems": [self._problem(p) for p in self.problems],
            "of": rounded(sum((self.scheme.points(p) for p in self.problems), Fraction())),
            "students": [self._student(each) for each in graded],
            "missed": self._missed(graded),
            "similar": [
                {
                    "one": clean(s.one, 120),
                    "other": clean(s.other, 120),
                    "share": s.share,
                    "problems": [*s.problems],
                }
                for s in similar
            ],
        }

    def _problem(self, problem: Problem) -> dict[str, Any]:
        wanted = self.scheme.of(problem)
        return {
            "key": problem.key, "name": problem.name, "title": problem.title,
            "points": rounded(self.scheme.points(problem)),
            "requirements": [{"name": r.name, "title": r.title, "points": rounded(r.points)} for r in wanted],
        }  # fmt: skip

    def _student(self, graded: Graded) -> dict[str, Any]:
        submission, flags, found = graded.submission, [], {}
        total = Fraction()
        for problem in self.problems:
            result = graded.results.get(problem.name)
            own = self._result(
                problem, result, submission.refused.get(problem.name, ""), asked=graded.asked
            )
            total += own.pop("exact")
            flags += [f"{problem.key}: {flag}" for flag in own["flags"]]
            found[problem.key] = own
        late = self._late(submission.newest)
        return {
            "name": clean(submission.name, 120), "file": submission.slug, "points": rounded(total), "late": late,
            "flags": flags + ([f"handed in late: {late}"] if late else []),
            "notes": [clean(n, 300) for n in submission.notes], "problems": found,
        }  # fmt: skip

    def _result(
        self, problem: Problem, result: Result | None, refused: str, *, asked: bool
    ) -> dict[str, Any]:
        of = rounded(self.scheme.points(problem))
        if result is None:
            state, says = (
                ("refused", f"refused: {refused}") if refused else ("missing", "not handed in")
            )
            state, says = (
                (state, says) if asked or refused else ("not graded yet", "not graded yet")
            )
            flags = [clean(says)] if refused else []
            return {"state": state, "points": 0.0, "of": of, "requirements": [], "failed": [], "cause": [],
                    "lines": [clean(says)], "flags": flags, "exact": Fraction()}  # fmt: skip
        checks, free = self.grader.checks[problem.name], self.grader.free[problem.name]
        earned = self.scheme.earned(problem, checks, result["passed"], free)
        exact = sum((e.points for e in earned), Fraction())
        return {
            "state": "graded", "points": rounded(exact), "of": of, "exact": exact,
            "passed": len(result["passed"]), "checks": len(checks),
            "requirements": [self._earned(problem, e) for e in earned],
            "failed": [{"check": n, "status": s, "facts": [*map(clean, facts)]} for n, s, facts in result["failed"]],
            "cause": [clean(c) for c in result["cause"]],
            "lines": [clean(line) for line in result["lines"] if line],
            "flags": [clean(f) for f in [*result["flags"], *(f"its process ended: {e}" for e in result["ends"])]],
        }  # fmt: skip

    def _earned(self, problem: Problem, earned: Earned) -> dict[str, Any]:
        titles = {r.name: r.title for r in self.scheme.of(problem)}
        return {
            "title": earned.requirement.title,
            "points": rounded(earned.points), "of": rounded(earned.requirement.points),
            "missed": [sentence(name) for name in earned.missed], "waits": [titles[name] for name in earned.waits],
        }  # fmt: skip

    def _late(self, newest: float | None) -> str:
        if self.due is None or newest is None or newest <= self.due.timestamp():
            return ""
        when = datetime.datetime.fromtimestamp(newest).astimezone()
        after = datetime.timedelta(seconds=int(newest - self.due.timestamp()))
        return f"changed {when:%Y-%m-%d %H:%M %z}, {after} after it was due"

    def _missed(self, graded: Sequence[Graded]) -> list[dict[str, Any]]:
        """What most students miss, by cause: a known mistake, or else the first check that fails."""
        causes: Counter[tuple[str, str]] = Counter()
        handed_in: Counter[str] = Counter()
        shown: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for each in graded:
            for name, result in each.results.items():
                handed_in[name] += 1
                wrong = [failed for failed in result["failed"] if failed[1] != Status.TODO]
                if wrong:
                    cause = (
                        " or ".join(result["cause"]) or f"no known mistake: {sentence(wrong[0][0])}"
                    )
                    causes[name, cause] += 1
                    shown[name, cause].update(sentence(failed[0]) for failed in wrong[:1])
        keys = {p.name: p.key for p in self.problems}
        return [
            {"problem": keys[name], "cause": clean(cause, 300), "students": count, "of": handed_in[name],
             "shows": clean(shown[name, cause].most_common(1)[0][0])}
            for (name, cause), count in sorted(causes.items(), key=lambda kv: (-kv[1], kv[0]))[:_CAUSES]
            if name in keys
        ]  # fmt: skip
