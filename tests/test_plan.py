"""`gpt2 interview --plan`: what is asked most and what is weak comes first, days are humane, what was missed moves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from common.cli import plan as screen_of_plan
from common.course.catalogue import find, problems
from common.errors import UsageError
from common.hunting.composing import LEVELS
from common.learner import attempts, plans, progress
from common.learner.attempts import Attempt
from common.learner.plans import Item, Plan
from common.practice import plan as planning
from common.practice import weak
from common.practice.related import related
from common.review import deck as decks
from common.review.deck import Deck, Review

FIRST = date(2026, 11, 23).toordinal()
INTERVIEWS = [p for p in problems() if p.is_interview]
COMMANDS = [weak.command_for(p) for p in INTERVIEWS]


def at(day: int, hour: int = 12) -> float:
    """A moment of a day, in seconds since the epoch."""
    return datetime.combine(date.fromordinal(day), datetime.min.time()).timestamp() + 3600 * hour


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A learner's folder that is empty."""
    monkeypatch.setattr(attempts, "FOLDER", tmp_path / "interviews")
    monkeypatch.setattr(plans, "FILE", tmp_path / "plan.json")
    monkeypatch.setattr(decks, "FILE", tmp_path / "review.json")
    monkeypatch.setattr(progress, "FILE", tmp_path / "progress.json")
    return tmp_path


def tried(name: str, day: int, got: int = 10, **more) -> Attempt:
    """A finished attempt with so many of ten points, saved."""
    problem = find(name)
    of: dict[str, Any] = {"used": 10.0, "passed": got, "checks": 10, "how": "submitted", **more}
    if not of.get("level"):
        of |= {"points": float(got), "most": 10.0}
    attempt = Attempt(problem.name, at(day), problem.readme.minutes, **of)
    attempt.save()
    return attempt


def commands(plan: Plan, day: int) -> list[str]:
    return [item.command for item in plan.days[day]]


@pytest.mark.parametrize(
    ("text", "days"), [("10d", 10), ("2w", 14), (" 3W ", 21), ("2026-12-06", 13), ("1d", 1)]
)
def test_until_when(text: str, days: int):
    assert planning.until(text, FIRST) == FIRST + days


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("soon", "takes days (10d), weeks (2w) or a date"),
        ("2026-13-40", "takes days"),
        ("0d", "not in the future"),
        ("2026-11-23", "not in the future"),
        ("2020-01-01", "not in the future"),
        ("99w", "693 days away"),
    ],
)
def test_a_span_that_is_none_is_a_sentence(text: str, says: str):
    with pytest.raises(UsageError) as raised:
        planning.until(text, FIRST)
    assert says in str(raised.value)


@pytest.mark.parametrize("a_day", [10, 29, 241])
def test_a_day_holds_the_longest_problem_and_ends(folder: Path, a_day: int):
    with pytest.raises(UsageError, match="must be 30 to 240 minutes"):
        planning.make(FIRST + 14, a_day, at(FIRST))


@pytest.mark.parametrize("a_day", [30, 45, 90])
@pytest.mark.parametrize("days", [1, 3, 10, 14, 30])
def test_days_are_humane(folder: Path, a_day: int, days: int):
    plan = planning.make(FIRST + days, a_day, at(FIRST))
    assert sorted(plan.days) == [*range(FIRST, FIRST + days)]
    for day, items in plan.days.items():
        eve = day == FIRST + days - 1
        assert sum(item.minutes for item in items) <= (min(a_day, 20) if eve else a_day)
        assert len(items) <= 3
        assert len({item.command for item in items}) == len(items)
        assert all(item.why for item in items)
    rests = [day - FIRST for day, items in plan.days.items() if not items]
    assert set(range(6, days - 1, 7)) <= set(rests)


def test_what_is_asked_most_comes_first_and_hunts_lie_between(folder: Path):
    plan = planning.make(FIRST + 28, 45, at(FIRST))
    order = [item.command for item in plan.items]
    first = [c for c in dict.fromkeys(order) if c in COMMANDS]
    assert set(first) == set(COMMANDS)
    assert first[0] == COMMANDS[0]
    # A shorter one may be taken earlier, where it fits into what is left of a day.
    assert max(abs(first.index(c) - COMMANDS.index(c)) for c in COMMANDS[:8]) <= 3
    hunts = {f"hunt --level {n}" for n, level in LEVELS.items() if level.source}
    assert hunts <= set(order)
    assert any(c in hunts for c in order[:6])


def test_what_does_not_fit_is_said(folder: Path):
    plan = planning.make(FIRST + 3, 45, at(FIRST))
    assert plan.left_out
    planned = {item.title for item in plan.items}
    assert not planned & set(plan.left_out)
    assert planned | set(plan.left_out) >= {p.label for p in INTERVIEWS}


def test_what_is_weak_comes_before_what_holds_and_says_why(folder: Path):
    failed, good, slow, hinted = (p.name for p in INTERVIEWS[4:8])
    tried(failed, FIRST - 3, 2)
    tried(good, FIRST - 3)
    tried(slow, FIRST - 3, used=55.0)
    tried(hinted, FIRST - 3, hints=2)
    tried("interview-01", FIRST - 2, 1, level=2, checks=3)
    plan = planning.make(FIRST + 28, 45, at(FIRST))
    why = {item.command: item.why for item in reversed(plan.items)}
    named = {name: weak.command_for(find(name)) for name in (failed, good, slow, hinted)}
    assert "2 of 10 points last time" in why[named[failed]]
    assert "it took 55 minutes of" in why[named[slow]]
    assert "with 2 hints" in why[named[hinted]]
    assert "1 of 3 bugs last time" in why["hunt --level 2"]
    order = [item.command for item in plan.items]
    assert order.index(named[failed]) < order.index(named[slow]) < len(order)
    untried = [c for c in COMMANDS if c not in named.values()]
    assert all(order.index(named[good]) > order.index(c) for c in untried)


def test_a_review_card_that_was_forgotten_brings_a_hunt_in_its_problem(folder: Path):
    name = "05-causal-masking"
    log = [
        Review(at(FIRST - 9), f"{name}/hunt", 3, 6, 60),
        Review(at(FIRST - 1), f"{name}/hunt", 1, 6, 60),
    ]
    decks.write(Deck(log=tuple(log)))
    plan = planning.make(FIRST + 14, 45, at(FIRST))
    item = next(item for item in plan.items if item.command == "hunt 05")
    assert "a review card was forgotten on 22 Nov" in item.why
    assert weak.lapsed(Deck(log=(log[1], replace(log[0], at=at(FIRST))))) == {}


def test_what_is_done_is_ticked_and_what_is_not_moves_to_the_next_day(folder: Path):
    made = planning.make(FIRST + 14, 45, at(FIRST))
    done, missed = commands(made, FIRST)[:2]
    tried(f"interview-{done.split()[1]}", FIRST)
    same_day = planning.current(at(FIRST, 20))
    assert same_day
    assert [item.done for item in same_day.days[FIRST]] == [True, False]
    assert replace(same_day, days={}) == replace(made, days={})
    next_day = planning.current(at(FIRST + 1))
    assert next_day
    assert [item.done for item in next_day.days[FIRST]] == [True, False]
    moved = next_day.days[FIRST + 1][0]
    assert moved.command == missed
    assert moved.why.startswith("moved from an earlier day; ")
    assert commands(next_day, FIRST + 1).count(done) == 0
    assert planning.current(at(FIRST + 1, 13)) == next_day == plans.read()


def test_what_was_done_ahead_does_not_come_again_at_once(folder: Path):
    made = planning.make(FIRST + 14, 45, at(FIRST))
    ahead = next(c for c in commands(made, FIRST + 3) if c in COMMANDS)
    tried(f"interview-{ahead.split()[1]}", FIRST)
    planning.current(at(FIRST, 22))
    later = planning.current(at(FIRST + 1))
    assert later
    assert ahead in commands(later, FIRST)
    assert ahead not in [c for day in range(FIRST + 1, FIRST + 5) for c in commands(later, day)]


def test_an_attempt_ticks_one_item_and_one_from_before_the_plan_none(folder: Path):
    tried(INTERVIEWS[0].name, FIRST - 1, 3)
    made = planning.make(FIRST + 28, 45, at(FIRST, 8))
    assert not any(item.done for item in made.items)
    tried(INTERVIEWS[0].name, FIRST, 3)
    now = planning.current(at(FIRST, 20))
    assert now
    assert Counter(i.command for i in now.items if i.done) == {COMMANDS[0]: 1}


def test_after_days_away_nothing_is_lost_and_no_day_is_longer(folder: Path):
    planning.make(FIRST + 14, 45, at(FIRST))
    back = planning.current(at(FIRST + 5))
    assert back
    for day in range(FIRST + 5, FIRST + 14):
        assert sum(item.minutes for item in back.days[day]) <= 45
    assert not back.days[FIRST + 6], "the rest day stays where it was"
    assert commands(back, FIRST + 5)[0] == COMMANDS[0]


def test_one_line_for_today(folder: Path):
    assert planning.line(at(FIRST)) == ""
    plan = planning.make(FIRST + 10, 45, at(FIRST))
    first = plan.days[FIRST][0]
    assert f"Today: {first.command} ({first.minutes} min)" in planning.line(at(FIRST))
    assert "rest day" in planning.line(at(FIRST + 6))
    assert "Your interview is today" in planning.line(at(FIRST + 10))
    assert planning.line(at(FIRST + 11)) == ""


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_plan_on_the_screen(folder: Path, width: int):
    planning.make(FIRST + 14, 45, at(FIRST))
    plan = planning.current(at(FIRST + 2))
    assert plan
    lines = screen_of_plan._lines(plan, FIRST + 2, width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "> Today, Wed 25 Nov: " in text
    assert "0 of 2 done" in text
    assert "Mon 7 Dec: the interview" in " ".join(text.split())


def test_the_later_plan_stands_and_of_one_plan_what_is_further():
    item = Item("interview 1", "One", 30, "because")
    early = Plan(1.0, FIRST, FIRST + 9, 45, FIRST, {FIRST: (item,)})
    ticked = replace(early, days={FIRST: (replace(item, done=True),)})
    late = replace(early, made=2.0)
    assert plans.later(early, late) == plans.later(late, early) == late
    assert plans.later(early, ticked) == plans.later(ticked, early) == ticked
    assert plans.later(None, early) == early
    assert plans.later(None, None) is None
    assert plans.parsed(json.loads(json.dumps(ticked.to_data()))) == ticked


@pytest.mark.parametrize(
    "change", [{"version": 9}, {"a_day": "x"}, {"days": {"1": []}}, {"days": [1]}, {"odd": 1}]
)
def test_a_plan_that_cannot_be_read_is_set_aside(folder: Path, capsys, change: dict):
    plan = Plan(1.0, FIRST, FIRST + 9, 45, FIRST)
    plans.FILE.write_text(json.dumps({"version": 1, **asdict(plan), **change}))
    assert planning.current(at(FIRST)) is None
    assert "The plan starts anew" in capsys.readouterr().err


def test_related_problems_share_their_matter():
    known = {p.key[-2:]: p for p in INTERVIEWS}
    nearest = {key: [q.key[-2:] for q in related(p, INTERVIEWS)[:3]] for key, p in known.items()}
    for one, other in {"01": "02", "03": "11", "05": "13", "09": "10", "11": "15"}.items():
        assert other in nearest[one], nearest[one]
    assert all(key not in near for key, near in nearest.items())


def test_the_commands(gpt2, checkout: Path, tmp_path: Path):
    assert "There is no plan yet" in gpt2("interview", "--plan").stdout
    made = gpt2("interview", "--plan", "2w", "--a-day", "60").stdout
    assert "14 days until" in made
    assert "> Today, " in made
    assert gpt2("interview", "--plan").stdout == made
    assert "Today: interview 1 (30 min)" in gpt2().stdout
    out = tmp_path / "kept.json"
    assert gpt2("progress", "export", str(out)).returncode == 0
    (checkout / ".gpt2" / "plan.json").unlink()
    assert "The plan from there stands" in gpt2("progress", "import", str(out)).stdout
    assert gpt2("interview", "--plan").stdout == made
    assert "here already" in gpt2("progress", "import", str(out)).stdout
    for arguments, says in {
        ("--plan", "never"): "--plan takes days",
        ("--plan", "2w", "--a-day", "5"): "--a-day must be 30 to 240",
        ("--plan", "--a-day", "50"): "--a-day goes with a new plan",
        ("--a-day", "50"): "--a-day goes with --plan",
        ("--plan", "2w", "--mock"): "two things",
    }.items():
        done = gpt2("interview", *arguments)
        assert done.returncode == 2, arguments
        assert says in done.stderr, arguments
