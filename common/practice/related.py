"""Which problems ask for much the same: by the words of their tasks, rare words counting more."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from common.course.catalogue import Problem

_WORD = re.compile(r"[a-z]{3,}")


def related(problem: Problem, among: Sequence[Problem]) -> list[Problem]:
    """The others, those whose tasks share most words with this one's first."""
    others = [p for p in among if p != problem]
    spread = Counter(word for p in {problem, *others} for word in _words(p))

    def weights(of: Problem) -> dict[str, float]:
        known = 1 + len(others)
        return {w: (1 + math.log(n)) * math.log(known / spread[w]) for w, n in _words(of).items()}

    mine = weights(problem)

    def nearness(other: Problem) -> float:
        theirs = weights(other)
        shared = sum(mine[word] * theirs[word] for word in mine.keys() & theirs.keys())
        return shared / math.sqrt(sum(w * w for w in theirs.values()) or 1.0)

    return sorted(others, key=lambda p: (-nearness(p), p.name))


@cache
def _words(problem: Problem) -> Counter[str]:
    return Counter(_WORD.findall(f"{problem.title} {problem.readme.task}".lower()))
