"""A mock interview from a seed: a warm-up, a main problem, a follow-up. The same seed gives the same one."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

from common.course.catalogue import Problem, find, hunted, problems, road
from common.hunting.composing import LEVELS, pool
from common.learner.attempts import Attempt
from common.learner.mocks import Section
from common.practice import weak
from common.practice.related import related

SEEDS = 100_000
_TRIED = 40  # seeds, of which one suits the history best
_LATELY = 6  # attempts
_NEAREST = 3  # related problems
_SHORT = 25  # minutes for a follow-up, at most
_HUNTS = (2, 3)  # levels that fill the middle of a session


def drawn(seed: int) -> tuple[Section, ...]:
    """The three sections that a seed gives."""
    draw = random.Random(f"mock {seed}")
    warm_up = _warm_up(draw, seed)
    if draw.random() < 1 / 3:
        level = draw.choice(_HUNTS)
        source = find(LEVELS[level].source)
        main = Section("main problem", source.name, LEVELS[level].minutes, level, seed)
    else:
        source = draw.choice([p for p in _interviews() if not _easy(p)])
        main = Section("main problem", source.name, source.readme.minutes)
    going_on = [p for p in hunted() if not p.symptoms.exists()] if source.is_hunt else []
    short = [p for p in _interviews() if p.readme.minutes <= _SHORT and p.name != warm_up.problem]
    near = related(source, short)[:_NEAREST]
    last = draw.choice(going_on or near)
    return warm_up, main, Section("follow-up", last.name, last.readme.minutes)


def fresh_seed(past: Sequence[Attempt]) -> int:
    """A seed whose sections were not met lately, and whose main problem is new or weak.

    Args:
        past: all attempts, oldest first.
    """
    lately = {(a.level, a.problem) for a in past[-_LATELY:]}
    last = {(a.level, a.problem): weak.of_attempt(a).amount for a in past if not a.runs}

    def staleness(seed: int) -> tuple[int, float]:
        keys = [(section.level, section.problem) for section in drawn(seed)]
        return sum(key in lately for key in keys), -last.get(keys[1], weak.UNTRIED)

    return min((secrets.randbelow(SEEDS) for _ in range(_TRIED)), key=staleness)


def _warm_up(draw: random.Random, seed: int) -> Section:
    """An easy interview, or a single bug in an easy problem of the road."""
    easy = [p for p in _interviews() if _easy(p)]
    if not easy or draw.random() < 1 / 2:
        known = [p for p in road() if _easy(p)]
        for problem in draw.sample(known, len(known)):
            if pool(problem, 1):
                return Section("warm-up", problem.name, LEVELS[1].minutes, 1, seed)
    one = draw.choice(easy or sorted(_interviews(), key=lambda p: p.readme.minutes)[:3])
    return Section("warm-up", one.name, one.readme.minutes)


def _easy(problem: Problem) -> bool:
    return problem.readme.difficulty == "Easy"


def _interviews() -> list[Problem]:
    return [p for p in problems() if p.is_interview]
