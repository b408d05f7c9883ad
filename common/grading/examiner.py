"""The trusted side: judges what a child's checks saw, as data, outside of the sandbox.

    {"problem": ..., "whose": ..., "failure": "", "outcomes": [...]}  ->  {"lines": [...], "unproven": [...]}
    {"free": "05-causal-masking"}                                    ->  {"free": [...]}

It never executes a student's code. It knows what the reference's run of each check saw: a check that is
said to have passed, but did not see the reference's numbers, is not proven.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from common import catalogue, checks, diagnosis, light_torch, mistakes, report
from common.catalogue import ROOT, Problem, find
from common.collecting import checks_of
from common.errors import CourseError
from common.grading import hiding, sandbox, wire
from common.loading import load
from common.results import Outcome, Status
from common.testing import asserts
from common.testing.trace import Seen

RIGHT = ROOT / "tests" / "right"  # right answers of other shapes
PAIRS = 3.0  # seconds that are given to two mistakes at once


Evidence = dict[str, dict[str, list[Tensor]]]  # by check and by what was compared


@cache
def _evidence(problem: Problem) -> Evidence:
    """The tensors that right answers hold against an expected value, whatever the random numbers.

    The reference shows them for any seed; what a known right answer of another shape does not show is
    left out.
    """
    modules = [load(problem.reference)]
    modules += [load(path) for path in sorted((RIGHT / problem.name).glob("*.py"))]
    compared = _listening(checks_of(problem))
    found = {}
    for check in checks_of(problem):
        runs = []
        for seed in (0, 1, 2):
            checks.seed = seed
            compared.clear()
            runs.append(_tensors(check.run(modules[0]).seen))
        checks.seed = 0
        kept = set(compared)
        runs += [_tensors(check.run(module).seen) for module in modules[1:]]
        first, *others = runs
        found[check.name] = {
            what: values
            for what, values in first.items()
            if what in kept and all(_alike(values, other.get(what, [])) for other in others)
        }
    return found


def _listening(of: tuple[checks.Check, ...]) -> set[str]:
    """A set that gets the name of each value that is compared with an expected one, from now on."""
    compared: set[str] = set()
    original = asserts.assert_close

    def assert_close(actual: Any, expected: Tensor, what: str, **how: Any) -> None:
        compared.add(what)
        original(actual, expected, what, **how)

    for space in hiding.harness_spaces(of):
        for name, value in list(space.items()):
            if value is original:
                space[name] = assert_close
    return compared


@cache
def _telling(problem: Problem) -> Evidence:
    """The evidence without what a known mistake may pass a check with and yet show otherwise."""
    _prepared(problem)
    left = {}
    for check in checks_of(problem):
        theirs = [diagnosis._outcome(problem, (m,), check) for m in mistakes.known(problem)]
        shown = [_tensors(o.seen) for o in theirs if o.status == Status.PASSED]
        left[check.name] = {
            what: values
            for what, values in _evidence(problem)[check.name].items()
            if all(_alike(values, each.get(what, [])) for each in shown)
        }
    return left


def _tensors(seen: list[Seen]) -> dict[str, list[Tensor]]:
    out: dict[str, list[Tensor]] = {}
    for each in seen:
        value = wire.unpack(wire.pack(each.value))
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 4:
            out.setdefault(each.what, []).append(value)
    return out


def _alike(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape and _near(x, y) for x, y in zip(a, b, strict=True)
    )


def _near(a: Tensor, b: Tensor) -> bool:
    """Looser than any check: this tells right from made up, not right from nearly right."""
    finite = a[a.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 1.0
    return torch.allclose(
        a.double(), b.double(), rtol=1e-3, atol=1e-3 * scale + 1e-4, equal_nan=True
    )


def unproven(problem: Problem, outcomes: list[Outcome]) -> tuple[list[str], bool]:
    """The passes whose evidence is missing or is not that of right answers, and whether they are many.

    One or two can be a right answer of a kind that nobody has thought of; a quarter of all is not.
    """
    passed = [o for o in outcomes if o.status == Status.PASSED]
    found, weighed = _differ(_evidence(problem), passed)
    if found and len(passed) < len(checks_of(problem)):
        found, weighed = _differ(_telling(problem), passed)
    return found, len(found) > max(2, weighed // 4)


def _differ(known: Evidence, passed: list[Outcome]) -> tuple[list[str], int]:
    found, weighed = [], 0
    for outcome in passed:
        if wanted := known.get(outcome.name, {}):
            weighed += 1
            theirs = _tensors(outcome.seen)
            if any(not _alike(values, theirs.get(what, [])) for what, values in wanted.items()):
                found.append(outcome.name)
    return found, weighed


@cache
def free(problem: Problem) -> tuple[str, ...]:
    """The checks that the untouched skeleton passes: alone they earn nothing."""
    module = load(problem.skeleton)
    return tuple(c.name for c in checks_of(problem) if c.run(module).status == Status.PASSED)


@cache
def _prepared(problem: Problem) -> bool:
    for _ in diagnosis.prepare(problem, checks_of(problem)):
        pass
    return True


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """What a learner would have read, and which passes are not proven."""
    problem = find(request["problem"])
    outcomes = [wire.outcome_of(data) for data in request["outcomes"]]
    odd, many = unproven(problem, outcomes)
    doubted = odd if many else []
    outcomes = [
        replace(
            o,
            status=Status.ERROR,
            error="unproven",
            lines=("passed, but did not see what it should",),
        )
        if o.name in doubted
        else o
        for o in outcomes
    ]
    found = None
    wrong = any(o.status in (Status.FAILED, Status.ERROR) for o in outcomes)
    if (
        wrong
        and not request["failure"]
        and not doubted
        and len(outcomes) == len(checks_of(problem))
    ):
        _prepared(problem)
        found = diagnosis.diagnose(problem, checks_of(problem), outcomes, budget=PAIRS)
    lines = report.problem_report(
        problem, request["whose"], outcomes, found, failure=request["failure"]
    )
    return {
        "lines": lines,
        "unproven": doubted,
        "odd": odd,
        "cause": list(found.names) if found else [],
    }


def main() -> None:
    """Serve until stdin closes."""
    sandbox.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    light_torch.install()
    catalogue.problems()
    while line := sys.stdin.readline():
        request = json.loads(line)
        try:
            if "free" in request:
                problem = find(request["free"])
                names = [c.name for c in checks_of(problem)]
                answer: dict[str, Any] = {"free": free(problem), "names": names}
            else:
                answer = examine(request)
        except CourseError as error:
            answer = {"broken": str(error)}
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
