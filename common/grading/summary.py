"""From results to the report that all formats are written from: plain data, nothing of it trusted."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from common.catalogue import Problem
from common.grading.run import Course, Result
from common.results import Outcome, Status

from common.grading.marks import Weights, earned, rounded
from common.grading.submissions import Submission

VERSION = 1
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


def clean(text: object, most: int = 600) -> str:
    """Text of a student's on one line: no escape sequence, control or direction mark survives."""
    text = _ESCAPES.sub("", str(text)[: 4 * most])
    text = text.encode("utf-8", "replace").decode("utf-8")
    out = "".join(map(_shown, text))
    return out[:most]


def _shown(c: str) -> str:
    if c in "\t\n\r":
        return " "
    hidden = unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "\N{REPLACEMENT CHARACTER}" if hidden else c


def slug(name: str, taken: set[str]) -> str:
    """A file name for a student: letters, digits, dots and dashes, and nobody else's."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:60]
    if plain != name or plain.lower() in taken or not plain:
        plain = f"{plain or 'student'}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    taken.add(plain.lower())
    return plain


def sentence(name: str) -> str:
    """A check's name as a person reads it."""
    return clean(Outcome(name, Status.PASSED).sentence, 200)


def summary(
    course: Course,
    submissions: Sequence[Submission],
    results: dict[tuple[str, str], Result],
    weights: Weights,
    head: Sequence[str],
) -> dict[str, Any]:
    """The whole class, as report.json holds it."""
    shares = {p.name: weights.shares(p, course.names[p.name]) for p in course.problems}
    taken: set[str] = set()
    students = [
        _student(course, s, results, weights, shares, slug(s.name, taken)) for s in submissions
    ]
    return {
        "version": VERSION,
        "head": [*head],
        "problems": [
            {
                "key": p.key,
                "name": p.name,
                "title": p.title,
                "points": rounded(weights.points(p)),
                "checks": {n: float(round(shares[p.name][n], 6)) for n in course.names[p.name]},
            }
            for p in course.problems
        ],
        "of": rounded(sum((weights.points(p) for p in course.problems), Fraction())),
        "students": students,
        "missed": _missed(course, results),
    }


def _student(
    course: Course,
    submission: Submission,
    results: dict[tuple[str, str], Result],
    weights: Weights,
    shares: dict[str, dict[str, Fraction]],
    file: str,
) -> dict[str, Any]:
    problems, total, flags = {}, Fraction(), []
    for problem in course.problems:
        result = results[submission.name, problem.name]
        points = weights.points(problem)
        part = earned(shares[problem.name], result["passed"], course.free[problem.name])
        kept = Fraction() if result["tampered"] or result["withheld"] else part
        total += kept * points
        own = flags_of(result)
        flags += [f"{problem.key}: {flag}" for flag in own]
        problems[problem.key] = {
            "state": result["state"],
            "points": rounded(kept * points),
            "of": rounded(points),
            "held_back": rounded((part - kept) * points) if not result["tampered"] else 0.0,
            "passed": len(result["passed"]),
            "checks": len(course.names[problem.name]),
            "failed": [
                {"check": o["name"], "status": o["status"], "lines": [clean(x) for x in o["lines"]]}
                for o in result["outcomes"]
            ],
            "not_run": _not_run(course, problem, result),
            "cause": [clean(c) for c in result["cause"]],
            "lines": [clean(line) for line in result["lines"] if line],
            "flags": own,
        }
    return {
        "name": clean(submission.name, 120),
        "file": file,
        "points": rounded(total),
        "flags": flags,
        "notes": [clean(n, 300) for n in submission.notes],
        "problems": problems,
    }


def flags_of(result: Result) -> list[str]:
    """What a person should look at, in words; the first ones cost points."""
    said = []
    if result["tampered"]:
        said.append(
            "tampered with the checks, so nothing of it counts: "
            + "; ".join(result["tampered"][:3])
        )
    if result["withheld"]:
        words = ", ".join(result["withheld"][:6])
        said.append(
            f"uses what no solution needs ({words}): its points are held back until a person has looked"
        )
    if result["unproven"]:
        said.append(
            f"{len(result['unproven'])} checks that it says pass did not see what they should, and do not count"
        )
    elif result["odd"]:
        said.append(
            f"passes {len(result['odd'])} checks with unusual values; counted, worth a look"
        )
    if result["tried"]:
        said.append("was refused: " + "; ".join(result["tried"][:4]))
    if result["ended"]:
        said.append("was ended: " + result["ended"])
    return [clean(text) for text in said]


def _not_run(course: Course, problem: Problem, result: Result) -> int:
    if result["state"] != "graded":
        return len(course.names[problem.name])
    return len(course.names[problem.name]) - len(result["passed"]) - len(result["outcomes"])


def _missed(course: Course, results: dict[tuple[str, str], Result]) -> list[dict[str, Any]]:
    """The checks that most students miss, among those who handed the problem in, and the usual causes."""
    missed: Counter[tuple[str, str]] = Counter()
    causes: dict[tuple[str, str], Counter[str]] = {}
    graded: Counter[str] = Counter()
    for (_, name), result in results.items():
        if result["state"] != "graded":
            continue
        graded[name] += 1
        for outcome in result["outcomes"]:
            key = (name, outcome["name"])
            missed[key] += 1
            causes.setdefault(key, Counter()).update(result["cause"])
    keys = {p.name: p.key for p in course.problems}
    return [
        {
            "problem": keys[name],
            "check": check,
            "sentence": sentence(check),
            "missed": count,
            "of": graded[name],
            "causes": [[clean(c), n] for c, n in causes[name, check].most_common(3)],
        }
        for (name, check), count in sorted(missed.items(), key=lambda kv: (-kv[1], kv[0]))[:25]
        if name in keys
    ]
