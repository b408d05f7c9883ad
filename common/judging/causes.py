"""What is known of the cause of a failure: records, the same here and across a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class FirstLine:
    """The line of the file that makes the first tensor of which a right run has no equal.

    Args:
        moved: it has the right numbers in other places. note: what is peculiar about the call.
        reads: the lines that made what it works on.
        times: it is so many times a tensor that a right run has; 0 where it is no multiple of one.
    """

    line: int
    code: str
    moved: bool = False
    reads: tuple[int, ...] = ()
    note: str = ""
    times: float = 0.0

    def sentence(self, *, plain: bool = False) -> str:
        """Where it is; what could be wrong with it only where no cause stands beside it (plain)."""
        how = ": it has the right numbers in other places" if self.moved else ""
        if self.times and not plain:
            how = (
                f": it is {self.times:.4g} times one that a right run has. A factor is missing or too much, there or "
                "where it is used"
            )
        said = f"Line {self.line}, `{self.code}`, makes the first tensor that a right run never has{how}."
        return f"{said} {self.note}".strip()


class Certainty(StrEnum):
    CAUSE = "cause"  # one known mistake gives all that was seen
    EITHER = "either"  # several do, and cannot be told apart
    TOGETHER = "together"  # two at once do
    LIKELY = "likely"  # one gives most of it


@dataclass(frozen=True)
class Diagnosis:
    """Known mistakes that produce what the learner's code produced."""

    certainty: Certainty
    names: tuple[str, ...]
    says: tuple[str, ...]
    check: str  # the check whose result they match
    explains: int = 0  # how many of the failing checks


@dataclass(frozen=True)
class Group:
    """Failing checks of one cause.

    Args:
        says: the cause; several sentences where it is one of them, none where it is not known.
    """

    checks: tuple[str, ...]
    says: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mend:
    """A change with which every check passes that was run.

    Args:
        said: what is different, as "another number in place of `1` in line 7".
    """

    line: int
    said: str


def mended(mends: Sequence[Mend], checks: int) -> str:
    """What is said of changes of which each is enough."""
    either = ", or ".join(f"with {mend.said}" for mend in mends)
    # All that is known: a change there may also make up for what is wrong elsewhere.
    found = f"One change is enough: {either}, all {checks} checks pass."
    return f"{found} The mistake is there, or is made up for there."
