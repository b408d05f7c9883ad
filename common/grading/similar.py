"""Submissions that are more alike than the problem makes them: two to look at, never an accusation."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LENGTH = 12  # tokens of a shingle
_LEAST = 40  # shingles that two must have in common, in all problems together
_SHARE = 0.6  # of the shingles of the one that has fewer
_CROWD = 0.2  # a shingle that more than this part of the class has is no mark of anybody


@dataclass(frozen=True)
class Pair:
    """Two students, the share of the smaller one's text that both have, and the problems where it lies."""

    one: str
    other: str
    share: float
    problems: tuple[str, ...]


def pairs(
    classes: Mapping[str, Mapping[str, str]], known: Mapping[str, Iterable[str]], *, most: int = 20
) -> list[Pair]:
    """The most alike first.

    Args:
        classes: each student's texts, by the problem's name.
        known: by problem, what everybody has: reference and skeleton.
    """
    given = {name: set().union(*map(shingles, texts)) for name, texts in known.items()}
    marks = {
        student: {(p, s) for p, text in files.items() for s in shingles(text) - given.get(p, set())}
        for student, files in classes.items()
    }
    owners = defaultdict(list)
    for student, found in marks.items():
        for mark in found:
            owners[mark].append(student)
    common: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (problem, _), students in owners.items():
        if 1 < len(students) <= max(2, _CROWD * len(classes)):
            for i, one in enumerate(students):
                for other in students[i + 1 :]:
                    common[min(one, other), max(one, other)].append(problem)
    found = []
    for (one, other), where in common.items():
        share = len(where) / max(min(len(marks[one]), len(marks[other])), 1)
        if len(where) >= _LEAST and share >= _SHARE:
            found.append(Pair(one, other, round(share, 2), tuple(sorted(set(where)))))
    return sorted(found, key=lambda p: (-p.share, p.one, p.other))[:most]


def shingles(text: str) -> set[int]:
    """Each run of so many tokens, names and numbers all the same: what is left when a copy was renamed."""
    plain = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                plain.append(token.string if keyword.iskeyword(token.string) else "name")
            elif token.type == tokenize.NUMBER:
                plain.append("0")
            elif token.type == tokenize.OP:
                plain.append(token.string)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # what came before still counts
    return {hash(tuple(plain[i : i + _LENGTH])) for i in range(len(plain) - _LENGTH + 1)}
