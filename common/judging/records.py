"""What is asked of a run and what it answers: frozen records, the same here and across a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from common.judging.causes import Certainty, Diagnosis, FirstLine, Group, Mend
from common.judging.excerpt import Excerpt

_ALIKE = 1.5  # a ratio nearer to 1 is noise, or taste


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # a property does not hold
    ERROR = "error"  # the learner's code raised
    TODO = "todo"  # not written yet

    @property
    def is_wrong(self) -> bool:
        return self in (Status.FAILED, Status.ERROR)


MORE_PRINTED = "(more was printed before this)"  # the first line of what was cut short


def function_of(check: str) -> str:
    """The test function that a check is a case of."""
    return check.partition("[")[0]


@dataclass(frozen=True)
class Outcome:
    """One check, run on one solution.

    Args:
        name: "test_changing_a_token_leaves_earlier_outputs_alone[5]"
        facts: what was seen, for the learner, a line each; empty when passed.
        because: what usually leads there; left unsaid where the cause is known.
        error: the exception's type and message, when the learner's code raised.
        parts: names of the solution that the check used: "CausalSelfAttention".
        printed: what the learner's code printed meanwhile.
        experiment: what a person would do to see it: the check's docstring.
        excerpt: of the first tensor that is not the reference's, in one failing check of a verdict.
        seen, inside, sizes: stay in this process. context.Seen, each value that was compared; a wrong tensor on the
            way there, by name, as it came and should have; what the check calls its sizes, "T": 7.
    """

    name: str
    status: Status
    facts: tuple[str, ...] = ()
    because: str = ""
    error: str = ""
    parts: tuple[str, ...] = ()
    printed: str = ""
    experiment: str = ""
    excerpt: Excerpt | None = field(default=None, repr=False, compare=False)
    seen: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    inside: tuple[Any, ...] | None = field(default=None, repr=False, compare=False)
    sizes: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def sentence(self) -> str:
        """The check's name as a person reads it."""
        name, _, case = self.name.removeprefix("test_").removesuffix("[]").partition("[")
        name = re.sub(r"(\d)e_(\d)", r"\1e-\2", name).replace("_", " ")  # 1e_5 is a number
        return name + (f" ({case[:-1]})" if case else "")


@dataclass(frozen=True)
class Example:
    """An example of the README after it was run; `facts` is the first line that went wrong, and how."""

    caption: str
    passes: bool
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a solution took on the checks that it passes, as multiples of what the reference takes.

    Args:
        time, memory: None where there is too little of it to be compared.
    """

    time: float | None = None
    memory: float | None = None

    @property
    def sentence(self) -> str:
        """What stands out; empty where nothing does."""
        found = [f"{self.time:.1f} times the reference's time"] if self.time else []
        if self.memory:
            whose = "its" if found else "the reference's"
            found.append(f"{self.memory:.1f} times {whose} memory")
        if all(1 / _ALIKE < ratio < _ALIKE for ratio in (self.time or 1, self.memory or 1)):
            return ""
        return f"Yours took {' and '.join(found)} on the checks that pass."


class Ended(StrEnum):
    """Why a child gave no answer."""

    TIMEOUT = "timeout"
    CRASH = "crash"  # os._exit, or a crash inside a library
    BROKEN = "broken"  # the course's own files cannot be used


@dataclass(frozen=True)
class Request:
    """A file to be judged.

    Args:
        problem: its name, "05-causal-masking".
        file: the solution; `source` stands for its text where it is not on the disk.
        owner: whose file it is, as the report says it: "yours", "reference", "given".
        earlier: where earlier parts come from: "references", "learners", or a folder of solutions.
        examples: run the README's examples instead of the checks.
        symptoms: run the file as the problem's symptoms.py does instead of the checks.
        picture: draw the problem's picture with these controls, (name, text) each, instead of the checks.
        checks: names of those to run; empty means all but the slow ones.
        cause: look for the cause of what fails.
        by_cause: also sort all failing checks by their causes.
        measured: also compare time and memory with the reference's, where most checks pass.
        limit: seconds until a child is ended.
        interactive: the learner's code may talk to the terminal (breakpoint, input).
    """

    problem: str
    file: Path
    owner: str = "yours"
    source: str | None = None
    earlier: str = "references"
    examples: bool = False
    symptoms: bool = False
    picture: tuple[tuple[str, str], ...] | None = None
    checks: tuple[str, ...] = ()
    cause: bool = True
    by_cause: bool = False
    measured: bool = False
    device: str = "cpu"
    seed: int = 0
    limit: float = 10.0
    interactive: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"file": str(self.file)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Request:
        data = json.loads(text)
        if data["picture"] is not None:
            data["picture"] = tuple(map(tuple, data["picture"]))
        return cls(**data | {"file": Path(data["file"]), "checks": tuple(data["checks"])})


@dataclass(frozen=True)
class Verdict:
    """The answer to a request.

    Args:
        failure: why the file could not be loaded, when it could not.
        log, drawn: what was seen of a run, a line each; the picture that was asked for, as JSON.
        whole: all checks of the problem were run (the slow ones aside).
        partial: what failed, while its cause is still looked for.
        ended, where: why there are no outcomes, and the learner's line or the exit code.
    """

    request: Request
    failure: str = ""
    outcomes: tuple[Outcome, ...] = ()
    diagnosis: Diagnosis | None = None
    first_line: FirstLine | None = None
    mends: tuple[Mend, ...] = ()
    groups: tuple[Group, ...] = ()
    cost: Cost | None = None
    examples: tuple[Example, ...] = ()
    log: tuple[str, ...] = ()
    drawn: str = ""
    whole: bool = True
    partial: bool = False
    ended: Ended | None = None
    where: str = ""

    @property
    def loads(self) -> bool:
        return not self.failure and self.ended is None

    @property
    def passes(self) -> bool:
        return self.loads and bool(self.outcomes) and self.passed == len(self.outcomes)

    @property
    def shown(self) -> Outcome:
        """The first failure, as checks go from cause to consequence, or the one that was diagnosed."""
        wanted = self.diagnosis.check if self.diagnosis else ""
        return next((o for o in self.wrong if o.name == wanted), self.wrong[0])

    @property
    def passed(self) -> int:
        return sum(o.status == Status.PASSED for o in self.outcomes)

    @property
    def wrong(self) -> tuple[Outcome, ...]:
        return tuple(o for o in self.outcomes if o.status.is_wrong)

    @property
    def score(self) -> int:
        """Percent of the checks, rounded down, so that 100 means all."""
        return 100 * self.passed // len(self.outcomes) if self.outcomes else 0

    def to_json(self) -> str:
        bare = (replace(o, seen=(), inside=None, sizes={}) for o in self.outcomes)
        lean = replace(self, outcomes=tuple(bare))
        return json.dumps(asdict(lean) | {"request": self.request.to_json()})

    @classmethod
    def from_json(cls, text: str | bytes) -> Verdict:
        data = json.loads(text)
        found = data["diagnosis"]
        return cls(
            **data
            | {
                "request": Request.from_json(data["request"]),
                "outcomes": tuple(
                    Outcome(**_tuples(o, status=Status, excerpt=Excerpt.from_data))
                    for o in data["outcomes"]
                ),
                "diagnosis": found and Diagnosis(**_tuples(found, certainty=Certainty)),
                "first_line": data["first_line"] and FirstLine(**_tuples(data["first_line"])),
                "mends": tuple(Mend(**m) for m in data["mends"]),
                "cost": data["cost"] and Cost(**data["cost"]),
                "groups": tuple(Group(**_tuples(g)) for g in data["groups"]),
                "examples": tuple(Example(**_tuples(e)) for e in data["examples"]),
                "log": tuple(data["log"]),
                "ended": data["ended"] and Ended(data["ended"]),
            }
        )


def _tuples(data: Mapping[str, Any], **kinds: Callable[[Any], Any]) -> dict[str, Any]:
    """Fields as their record has them: lists are tuples, and what is named is made of its kind."""
    made = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return made | {key: kind(data[key]) for key, kind in kinds.items()}
