"""What a run of a problem's checks yields: frozen records, which reports and progress are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # a property does not hold
    ERROR = "error"  # the learner's code raised
    TODO = "todo"  # not written yet


@dataclass(frozen=True)
class Outcome:
    """One check, run on one solution."""

    name: str  # "test_changing_a_token_leaves_earlier_outputs_alone[5]"
    status: Status
    lines: tuple[str, ...] = ()  # for the learner; empty when passed
    error: str = ""  # the exception's type and message, when status is ERROR
    parts: tuple[str, ...] = ()  # names of the solution that the check used: "CausalSelfAttention"
    seen: list[Any] = field(default_factory=list, repr=False, compare=False)  # trace.Seen
    printed: str = ""

    @property
    def sentence(self) -> str:
        """The check's name as a person reads it."""
        name, _, case = self.name.removeprefix("test_").partition("[")
        return name.replace("_", " ") + (f" ({case[:-1]})" if case else "")


@dataclass(frozen=True)
class Diagnosis:
    """Known mistakes that produce what the learner's code produced."""

    names: tuple[str, ...]
    says: tuple[str, ...]
    check: str  # the check whose result they match
    exact: bool  # every failing check matches, not only that one
