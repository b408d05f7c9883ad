"""When a card of `gpt2 review` comes back, over a simulated year and after a month away."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import mean, median

import pytest

from common.course.catalogue import Problem
from common.review.cards import Card, Kind
from common.review.deck import Deck, Review
from common.review.memory import Grade, day_of, graded
from common.review.portion import MINUTES, MOST, coming, due, portion

DAY = 86400
NOW = time.time()
TODAY = day_of(NOW)


def made(number: int, solved: int) -> list[Card]:
    """The cards of a problem with two questions and two functions."""
    problem = Problem(f"{number:03d}-made")
    out = [Card(problem, Kind.QUESTION, f"{n}?", 1, solved + 1 + 3 * n) for n in range(2)]
    out += [Card(problem, Kind.WRITE, f"f{n}", 3 + 2 * n, solved + 3 + 4 * n) for n in range(2)]
    return [*out, Card(problem, Kind.HUNT, "", 6, solved + 7)]


@dataclass
class Learner:
    """Solves two problems a week, and reviews what each day brings, unless away."""

    total: int
    away: range = range(0)
    deck: Deck = field(default_factory=Deck)
    known: list[Card] = field(default_factory=list)
    portions: list[list[Card]] = field(default_factory=list)
    intervals: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def live(self, days: int) -> Learner:
        for day in range(len(self.portions), days):
            if day % 7 in (0, 3) and len(self.known) < 5 * self.total and day not in self.away:
                self.known += made(len(self.known) // 5, TODAY + day)
            today = [] if day in self.away else portion(self.known, self.deck, TODAY + day)
            self.portions.append(today)
            for card in today:
                self._grade(card, day)
        return self

    def _grade(self, card: Card, day: int) -> None:
        given = random.choices([Grade.GOOD, Grade.HARD, Grade.AGAIN], [85, 10, 5])[0]
        memory = graded(self.deck.memories.get(card.id), given, TODAY + day)
        self.intervals[card.id].append(memory.due - memory.last)
        review = Review(NOW + day * DAY, card.id, given, card.minutes, 60 * card.minutes)
        log = (*(r for r in self.deck.log if r.at > NOW + (day - 2) * DAY), review)
        self.deck = Deck({**self.deck.memories, card.id: memory}, log)

    @property
    def minutes(self) -> list[int]:
        return [sum(card.minutes for card in each) for each in self.portions]


@pytest.mark.parametrize("total", [18, 104], ids=["the course", "two a week all year"])
def test_in_a_year_no_day_is_too_long_and_what_is_known_comes_less_and_less(total: int):
    random.seed(0)
    learner = Learner(total).live(365)
    assert max(learner.minutes) <= MINUTES
    assert max(map(len, learner.portions)) <= MOST
    for each in learner.portions:
        files = [card.problem for card in each if card.kind != Kind.QUESTION]
        assert len(files) == len(set(files)), "two files of one problem show each other's answers"
    if total == 18:
        assert mean(learner.minutes) < 7
        assert mean(learner.minutes[-90:]) < 4
        assert learner.minutes[-120:].count(0) > 40
        first = median(each[0] for each in learner.intervals.values())
        last = median(each[-1] for each in learner.intervals.values())
        assert first <= 3
        assert last > 120
        assert len(learner.intervals) == 5 * total, "every card came"


def test_after_a_month_away_a_day_is_as_long_as_ever():
    random.seed(1)
    learner = Learner(18, away=range(60, 90)).live(90)
    waiting = [c for c in learner.known if due(c, learner.deck) <= TODAY + 90]
    assert len(waiting) > 30
    back = portion(learner.known, learner.deck, TODAY + 90)
    assert sum(card.minutes for card in back) <= MINUTES
    assert len({card.problem for card in back}) == len(back)
    assert {card.kind for card in back} == set(Kind)
    assert min(waiting, key=lambda c: due(c, learner.deck)) in back, (
        "the most overdue is among them"
    )
    learner.live(120)
    assert max(learner.minutes) <= MINUTES
    assert all(due(c, learner.deck) > TODAY + 100 for c in waiting), "a month makes good a month"


def test_a_day_counts_once_however_often_one_comes_back():
    known = [card for number in range(9) for card in made(number, TODAY - 30)]
    first = portion(known, Deck(), TODAY)
    done = [Review(NOW, card.id, 3, card.minutes, 60) for card in first[:2]]
    memories = {card.id: graded(None, Grade.GOOD, TODAY) for card in first[:2]}
    rest = portion(known, Deck(memories, tuple(done)), TODAY)
    assert rest == first[2:]
    week = [*coming(known, Deck(), TODAY)]
    assert all(sum(card.minutes for card in of) <= MINUTES for of in week)
    assert not {card.id for of in week for card in of} & {card.id for card in first}


def test_cards_of_one_problem_share_a_day_only_where_there_is_no_other():
    one, other = made(1, TODAY - 30), made(2, TODAY - 20)
    assert [c.kind for c in portion(one, Deck(), TODAY)] == [
        Kind.QUESTION, Kind.WRITE, Kind.QUESTION,
    ]  # fmt: skip
    both = portion([*one, *other], Deck(), TODAY)
    assert both[0].problem != both[1].problem
