"""The one way to run a problem's checks: a request goes in, a verdict comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType

import torch

from common.course.catalogue import Problem, find
from common.errors import UsageError
from common.judging import explaining, loading
from common.judging.causes import Certainty, Diagnosis
from common.judging.checks import Check
from common.judging.collecting import checks_of
from common.judging.cost import cost
from common.judging.diagnosis import BUDGET, Bank, diagnose
from common.judging.examples import try_examples
from common.judging.first_line import WAY_BACK, first_in_float32, first_wrong_line
from common.judging.first_tensor import excerpt_of
from common.judging.grouping import grouped
from common.judging.keeping import kept, told_of
from common.judging.mending import mends
from common.judging.not_numbers import first_not_a_number
from common.judging.overwriting import IN_A_LINE, IN_PLACE, where_it_is_overwritten
from common.judging.picturing import picture_of
from common.judging.records import Cost, Outcome, Request, Status, Verdict
from common.judging.symptoms import log_of
from common.judging.way_back import where_it_is_cut
from common.testing.calls import HOLDS, NOTHING_KEPT, OUTLIVES, SET_BY_A_CALL
from common.testing.context import surroundings
from common.testing.modules import OVERWRITTEN

_KEPT = "Alone, in a file that was just loaded, this check passes: something outlives the call that made it."
_LEFT = "What the check left changed in your file: {}."
_LEFT_BEFORE = "What the checks before it left changed in your file: {}."
# What is kept, or cast, is named: with it left out all may pass by accident, and it may well be meant.
_SAID = (HOLDS, SET_BY_A_CALL[:20], _LEFT[:20], WAY_BACK)
_CERTAIN = (Certainty.CAUSE, Certainty.EITHER)
_SHARED = re.compile(
    r"each call|set on a class|shares? (nothing|anything)"
)  # said where something is kept
_LOOKED_AT = 8  # failing checks in which a wrong tensor is looked for
_MAY_BE = "It is used again, such as a global name, a cache, a default argument or an attribute of the class."


def run(
    request: Request,
    *,
    budget: float = BUDGET,
    on_checked: Callable[[Verdict], None] = lambda _: None,
) -> Verdict:
    """Load the file, run the checks on it in this process, and name the cause of what fails.

    Args:
        budget: seconds for the search for two mistakes at once; 0 leaves the whole diagnosis out.
        on_checked: called when the learner's code has been through its checks, with what is known by then.
            It is partial where the cause of a failure is looked for.

    Raises:
        CourseError: the problem's own files cannot be used, or there is no such check.
    """
    problem = find(request.problem)
    tree = loading.tree(request.earlier)
    other = request.examples or request.symptoms or request.picture is not None
    checks = [] if other else chosen(problem, request.checks)
    try:
        module = _load(request, tree)
    except (loading.LoadFailure, NotImplementedError) as failure:
        said = explaining.not_loaded(failure)
        drawn = "" if request.picture is None else picture_of(problem, request, said)
        return Verdict(request, failure=said, drawn=drawn)
    with (
        loading.building_on(tree),
        surroundings(device=torch.device(request.device), seed=request.seed),
    ):
        if request.examples:
            return Verdict(request, examples=tuple(try_examples(problem.readme, module)))
        if request.symptoms:
            return Verdict(request, log=tuple(log_of(problem, module)))
        if request.picture is not None:
            return Verdict(request, drawn=picture_of(problem, request, module))
        outcomes = [check.run(module, interactive=request.interactive) for check in checks]
        asks = bool(budget and request.cause and any(o.status.is_wrong for o in outcomes))
        whole = {c.name for c in checks_of(problem)} <= {c.name for c in checks}
        verdict = Verdict(request, outcomes=tuple(outcomes), whole=whole)
        on_checked(replace(verdict, partial=asks))
        if asks:
            verdict = _explained(verdict, problem, checks, module, budget)
        measured = _cost(request, problem, checks, verdict.outcomes) if request.measured else None
    return replace(verdict, cost=measured)


def _explained(
    seen: Verdict, problem: Problem, checks: Sequence[Check], module: ModuleType, budget: float
) -> Verdict:
    """The verdict, with what can be found out about the cause of what fails."""
    request, outcomes = seen.request, [*seen.outcomes]
    diagnosis = diagnose(problem, checks, outcomes, budget=budget)
    outcomes, diagnosis = _asked_again(request, checks, outcomes, diagnosis, module)
    # What a line gives wrongly in a later call is not what keeps something for it; and where a change is enough, the
    # place is known, while another right way than the reference's has tensors that it never has.
    told = any(
        o.because.startswith((_KEPT, NOTHING_KEPT)) or any(said in o.because for said in _SAID)
        for o in outcomes
    )
    certain = diagnosis and diagnosis.certainty in _CERTAIN
    tried = seen.whole and not (certain or told)
    changes = mends(request, checks, outcomes) if tried else ()
    diagnosis = None if changes else diagnosis
    pairs, reference = [*zip(checks, outcomes, strict=True)], loading.load(problem.reference)
    return replace(
        seen,
        diagnosis=diagnosis,
        first_line=None if told or changes else first_wrong_line(pairs, module, reference),
        mends=changes,
        groups=grouped(problem, checks, outcomes) if request.by_cause else (),
        outcomes=tuple(with_excerpt(problem, checks, outcomes, diagnosis)),
    )


def with_excerpt(
    problem: Problem,
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    diagnosis: Diagnosis | None,
) -> Sequence[Outcome]:
    """The wrong tensor beside the reference's, of the check that a report shows, or else of the next that has one."""
    name, bank = diagnosis.check if diagnosis else "", Bank(problem)
    wrong = [i for i, o in enumerate(outcomes) if o.status.is_wrong]
    for at in sorted(wrong, key=lambda i: outcomes[i].name != name)[:_LOOKED_AT]:
        if excerpt := excerpt_of(outcomes[at], bank.outcome((), checks[at])):
            return [*outcomes[:at], replace(outcomes[at], excerpt=excerpt), *outcomes[at + 1 :]]
    return outcomes


def _cost(
    request: Request, problem: Problem, checks: Sequence[Check], outcomes: Sequence[Outcome]
) -> Cost | None:
    """What the file takes beside the reference, both as they were just loaded."""
    fresh = _load(request, loading.tree(request.earlier))
    return cost(checks, outcomes, fresh, loading.load(problem.reference))


def _asked_again(
    request: Request,
    checks: Sequence[Check],
    outcomes: list[Outcome],
    diagnosis: Diagnosis | None,
    module: ModuleType,
) -> tuple[list[Outcome], Diagnosis | None]:
    """Ask the failing check once more, of the file as it was just loaded: does something outlive a call?"""
    if diagnosis and diagnosis.certainty in _CERTAIN:
        return outcomes, diagnosis
    at = next(i for i, o in enumerate(outcomes) if o.status.is_wrong)
    if where := first_in_float32(checks[at], outcomes[at], module):
        fresh = _load(request, loading.tree(request.earlier))
        before, _ = kept(fresh), checks[at].run(fresh)
        left = f" {_LEFT.format(told)}" if (told := told_of(before, fresh)) else ""
        outcomes[at] = replace(outcomes[at], because=f"{outcomes[at].because} {where}{left}")
        return outcomes, None
    questions = (first_not_a_number, where_it_is_cut, where_it_is_overwritten)
    with surroundings(anew=True):
        where = " ".join(filter(None, (ask(checks[at], outcomes[at], module) for ask in questions)))
    fresh = _load(request, loading.tree(request.earlier))
    # A place that is known makes the list of what it may be superfluous.
    because = outcomes[at].because.replace(
        OVERWRITTEN, IN_PLACE if IN_A_LINE in where else OVERWRITTEN
    )
    because = f"{because} {where}".strip()
    before = kept(fresh)
    alone, left = checks[at].run(fresh), told_of(before, fresh)
    known = _LEFT.format(left) if left else ""
    if alone.status == Status.PASSED and not known:
        by_others = _left_by(checks[:at], _load(request, loading.tree(request.earlier)))
        known = _LEFT_BEFORE.format(by_others) if by_others else ""
    if alone.status == Status.PASSED and (known or checks[at].run(module).status.is_wrong):
        because, diagnosis = f"{_KEPT} {known or _MAY_BE}", None
    elif left and outcomes[at].status == Status.ERROR:
        because = f"{because} {known}".strip()
    elif OUTLIVES in because:
        because = because.replace(OUTLIVES, known or OUTLIVES)
    elif left and _SHARED.search(because):
        because = f"{because} {known}"
    return [*outcomes[:at], replace(outcomes[at], because=because), *outcomes[at + 1 :]], diagnosis


def _left_by(checks: Sequence[Check], fresh: ModuleType) -> str:
    """What some checks leave changed in a file that was just loaded."""
    before = kept(fresh)
    for check in checks:
        check.run(fresh)
    return told_of(before, fresh)


def outcomes_of(problem: Problem, module: ModuleType) -> list[Outcome]:
    """What all checks of a problem give on a module that is loaded already."""
    return [check.run(module) for check in checks_of(problem)]


def chosen(problem: Problem, names: Sequence[str]) -> list[Check]:
    """The checks of these names, in the problem's order; without names all but the slow ones.

    Raises:
        UsageError: there is no check of that name.
    """
    if not names:
        return [*checks_of(problem)]
    known = {check.name: check for check in checks_of(problem, slow=True)}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{problem.name} has no check {unknown[0]}")
    return [check for name, check in known.items() if name in set(names)]


def _load(request: Request, tree: loading.Tree) -> ModuleType:
    if request.source is not None:
        return loading.execute(request.source, request.file, tree)
    return loading.load(request.file, tree)
