"""The tests are tested: every known mistake is caught, and its report names it or nothing that is not there."""

from __future__ import annotations

import random

import pytest

from common.authoring import mutants, reviews
from common.authoring.behaviour import family, judged, list_trouble
from common.course import mistakes
from common.course.catalogue import Problem, hunted, problems
from common.course.mistakes import Mistake
from common.judging.collecting import checks_of
from common.judging.diagnosis import diagnose, module_with
from common.judging.records import Outcome, Status
from common.judging.runner import outcomes_of

ALL = (*problems(), *hunted())
ENTRIES = [(problem, mistake) for problem in ALL for mistake in mistakes.known(problem)]


@pytest.mark.parametrize(
    ("problem", "mistake"), ENTRIES, ids=[f"{p.key}: {m.name}" for p, m in ENTRIES]
)
def test_every_mistake_is_caught_and_never_taken_for_another(problem: Problem, mistake: Mistake):
    found = judged(problem, mistake)
    assert not found.trouble
    assert not found.moved, "bring its lines with - up to date"


@pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)
def test_every_list_is_long_enough_and_well_formed(problem: Problem):
    assert not list_trouble(problem)


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_two_mistakes_at_once_never_get_the_name_of_a_third(problem: Problem):
    draw = random.Random(problem.name)
    known = mistakes.known(problem)
    checks = checks_of(problem)
    tried = 0
    while tried < 6:
        pair = draw.sample(known, 2)
        module = module_with(problem, problem.reference_text, tuple(pair))
        if module is None:
            continue  # the two edit the same line
        outcomes = outcomes_of(problem, module)
        assert any(o.status.is_wrong for o in outcomes)
        found = diagnose(problem, checks, outcomes, budget=5)
        tried += 1
        if found:
            both = set().union(*(family(problem, m) for m in pair))
            assert set(found.names) & both, (pair[0].name, pair[1].name, found.names)


FALSE = [(problem, each) for problem in problems() for each in reviews.false_reports(problem)]


@pytest.mark.parametrize(
    ("problem", "each"), FALSE, ids=[f"{p.key}: {e.mutant[:60]}" for p, e in FALSE]
)
def test_what_was_said_falsely_is_not_said_again(problem: Problem, each: reviews.FalseReport):
    known = dict(mutants.mutants(problem.reference_text))
    assert each.mutant in known, "the reference has changed: note the mutant as it is now"
    said = " ".join(" ".join(reviews.read(problem, known[each.mutant])).split())
    assert said
    assert each.says not in said


def test_a_change_finds_its_line_in_an_equal_rewrite():
    problem = next(p for p in problems() if p.key == "05")
    text = problem.reference_text
    rewritten = text.replace("q @ k.mT / math.sqrt(q.size(-1))", "q @ k.mT * q.size(-1) ** -0.5")
    assert rewritten != text
    broken = [m.name for m in mistakes.known(problem) if not applies(m, rewritten)]
    assert not broken
    moved = [m for m in mistakes.known(problem) if m.is_moved(rewritten)]
    assert moved
    assert all("q.size(-1) ** -0.5" not in m.apply(rewritten) for m in moved)


def applies(mistake: Mistake, text: str) -> bool:
    try:
        mistake.apply(text)
    except mistakes.DoesNotApply:
        return False
    return True


def test_an_entry_that_cannot_be_understood_is_told_with_its_line():
    with pytest.raises(Exception, match="line 3: an entry needs a sentence"):
        mistakes._parsed("Head\n\n@@ no sentence\n-x\n+y\n")


def test_the_name_of_a_check_is_read_as_a_sentence():
    outcome = Outcome("test_the_default_eps_is_1e_5[x-2]", Status.PASSED)
    assert outcome.sentence == "the default eps is 1e-5 (x-2)"


def test_status_of_what_is_wrong():
    assert [s for s in Status if s.is_wrong] == [Status.FAILED, Status.ERROR]
