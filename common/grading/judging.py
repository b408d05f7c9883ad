"""The judge's process: it holds tests and references, and puts the checks' questions to students' processes.

    python -m common.grading.judging FD FD

The first is a socket for messages as in exchange/wire.py, the second one for the sockets that belong to them.

    {"do": "prepare", "problems": [...], "secret": "..."}    -> {"problems": {name: {"checks": [], "free": []}}}
    {"do": "fork"}, with two sockets                         -> {"process": 4711}, which serves these
    {"do": "judge", "problem": ..., "source": ..., ...}, with the socket of a student's process
                                                             -> {"result": {...}} or {"stopped": {...}}
    {"do": "go on", "ended": "..."}, with the socket of a new one or without    -> the same
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from common.course.catalogue import Problem, find
from common.errors import CourseError
from common.grading.exchange import confine
from common.grading.exchange.judge import Judge, StandIn
from common.grading.exchange.wire import Over, Wire
from common.grading.seeded import SeededCheck, lucky
from common.judging import loading
from common.judging.collecting import checks_of
from common.judging.diagnosis import diagnose
from common.judging.records import Outcome, Request, Status, Verdict
from common.judging.report import report

BUDGET = 1.0  # seconds for a diagnosis
MEMORY = 3 << 30  # bytes that a judge may take beside what it starts with, whatever it is sent
_FEW = 2  # so many failing checks are tried again with other inputs: they may have had bad luck


class Prepared:
    """A problem's checks under the seeds of this run."""

    def __init__(self, problem: Problem, secret: str) -> None:
        reference = loading.load(problem.reference)
        self.problem = problem
        self.more = {c.name: lucky(c, problem, secret, reference) for c in checks_of(problem)}
        self.tries: dict[str, list[SeededCheck]] = {name: [] for name in self.more}
        self.checks = [self.check(name, 0) for name in self.more]

    def check(self, name: str, number: int) -> SeededCheck:
        """The check of this name under the first, second or third of its seeds."""
        while len(self.tries[name]) <= number:
            self.tries[name].append(next(self.more[name]))
        return self.tries[name][number]

    def free(self) -> list[str]:
        """The checks that the untouched skeleton passes."""
        try:
            skeleton = loading.execute(self.problem.skeleton, self.problem.solution)
        except (loading.LoadFailure, NotImplementedError):
            return []
        return [c.name for c in self.checks if c.run(skeleton).status == Status.PASSED]


@dataclass
class Case:
    """A submission to one problem, as far as it is judged."""

    prepared: Prepared
    source: str
    file: Path
    outcomes: list[Outcome] = field(default_factory=list)
    failure: str = ""
    stopped: str = ""  # the check in which the student's process ended
    flags: list[str] = field(default_factory=list)

    def run(self, connection: socket.socket) -> None:
        """Go on with the checks; `stopped` says whether the process went away before the last one."""
        checks = self.prepared.checks[len(self.outcomes) :]
        self.stopped = ""
        with connection:
            judge = Judge(Wire(connection), self.prepared.problem)
            try:
                stand_in = self._load(judge)
                if stand_in is not None:
                    for check in checks:
                        self.stopped = check.name
                        self.outcomes.append(judge.outcome(check, stand_in))
                    self.stopped = ""
                    self._try_again(judge, stand_in)
            except Over as over:
                if over.why == "rules":
                    self.flags.append(f"broke the rules of the exchange ({over.says})")
                if (
                    not self.stopped
                    and not self.failure
                    and len(self.outcomes) < len(self.prepared.checks)
                ):
                    self.stopped = self.prepared.checks[len(self.outcomes)].name

    def _load(self, judge: Judge) -> StandIn | None:
        try:
            return judge.load(self.source, self.file)
        except (loading.LoadFailure, NotImplementedError) as failure:
            self.failure = str(failure) or "not written yet"
            return None

    def _try_again(self, judge: Judge, stand_in: StandIn) -> None:
        """Forgive a check that alone fails if it passes under two other seeds."""
        failed = [i for i, o in enumerate(self.outcomes) if o.status != Status.PASSED]
        for i in failed if len(failed) <= _FEW else []:
            again = []
            for number in (1, 2):
                check = self.prepared.check(self.outcomes[i].name, number)
                again.append(judge.outcome(check, stand_in))
            if all(o.status == Status.PASSED for o in again):
                self.outcomes[i] = again[0]

    def ended(self, how: str) -> None:
        """Note how the process ended in the check that it ended in."""
        facts = (
            (f"the process in which your code ran ended: {how}",) if how else ("it did not run",)
        )
        self.outcomes.append(Outcome(self.stopped, Status.ERROR, facts, error=how))

    def result(self) -> dict[str, Any]:
        """What is to be kept of it."""
        problem, checks = self.prepared.problem, self.prepared.checks
        request = Request(problem.name, self.file, owner="handed in")
        verdict = Verdict(request, failure=self.failure, outcomes=tuple(self.outcomes))
        ran = [*zip(checks, self.outcomes, strict=False)]
        if any(o.status.is_wrong for o in self.outcomes):
            found = diagnose(problem, [c for c, _ in ran], [o for _, o in ran], budget=BUDGET)
            verdict = replace(verdict, diagnosis=found)
        return {
            "passed": [o.name for o in self.outcomes if o.status == Status.PASSED],
            "failed": [
                [o.name, str(o.status), [*o.facts]]
                for o in self.outcomes
                if o.status != Status.PASSED
            ],
            "cause": [*verdict.diagnosis.names] if verdict.diagnosis else [],
            "lines": _without_advice(report(verdict)[1:]),
            "failure": self.failure,
            "flags": self.flags,
        }


def _without_advice(lines: list[str]) -> list[str]:
    """A report without what a learner should do next at their own machine."""
    last = next(
        (i for i, line in enumerate(lines) if line.startswith(("Next: ", "Start with "))),
        len(lines),
    )
    return lines[:last]


class Server:
    """Answers one question after the other.

    Args:
        questions, handles: the two sockets.
    """

    def __init__(self, questions: socket.socket, handles: socket.socket) -> None:
        self.wire, self.handles = Wire(questions), handles
        self.prepared: dict[tuple[str, str], Prepared] = {}
        self.case: Case | None = None

    def serve(self) -> None:
        """Answer until the other side is gone."""
        while True:
            try:
                question, _ = self.wire.receive()
                answer = self._answers[question.pop("do")](self, **question)
                if answer is not None:
                    self.wire.send(answer, [])
            except CourseError as error:
                self.wire.send({"error": str(error)}, [])
            except Over:
                return

    def prepare(self, problems: list[str], secret: str) -> dict[str, Any]:
        """Collect the checks, choose their seeds and try the skeletons."""
        found = {}
        for name in problems:
            made = self._prepared(name, secret)
            found[name] = {"checks": [c.name for c in made.checks], "free": made.free()}
        gc.collect()
        gc.freeze()
        return {"problems": found}

    def fork(self) -> dict[str, Any] | None:
        """Let a process like this one serve the two sockets that come along."""
        questions, handles = self._received(), self._received()
        if (child := os.fork()) != 0:
            questions.close()
            handles.close()
            return {"process": child}
        self.wire.connection.close()
        self.handles.close()
        self.wire, self.handles = Wire(questions), handles
        confine.limit_memory(confine.size() + MEMORY)
        return None

    def judge(self, problem: str, secret: str, source: str, file: str) -> dict[str, Any]:
        """Judge a submission."""
        self.case = Case(self._prepared(problem, secret), source, Path(file))
        self.case.run(self._received())
        return self._said()

    def go_on(self, ended: str, again: bool) -> dict[str, Any]:
        """Note how the student's process ended, and go on with a new one if there is one."""
        assert self.case
        self.case.ended(ended)
        self.case.stopped = ""
        if again and len(self.case.outcomes) < len(self.case.prepared.checks):
            self.case.run(self._received())
        return self._said()

    def _said(self) -> dict[str, Any]:
        assert self.case
        left = len(self.case.prepared.checks) - len(self.case.outcomes)
        if self.case.stopped and not self.case.flags:
            return {"stopped": self.case.stopped, "left": left}
        return {"result": self.case.result()}

    def _received(self) -> socket.socket:
        """The socket that belongs to a question."""
        _, found, _, _ = socket.recv_fds(self.handles, 1, 1)
        if not found:
            raise Over("gone", "a question came without its socket")
        return socket.socket(fileno=found[0])

    _answers: ClassVar = {"prepare": prepare, "fork": fork, "judge": judge, "go on": go_on}

    def _prepared(self, name: str, secret: str) -> Prepared:
        if (name, secret) not in self.prepared:
            self.prepared[name, secret] = Prepared(find(name), secret)
        return self.prepared[name, secret]


def main() -> None:
    """Serve until the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # whoever talks to the forked ones knows when they end
    torch.set_num_threads(1)
    layer = torch.nn.Linear(8, 8)
    layer(torch.randn(8, 8)).softmax(-1).sum().backward()
    torch.optim.AdamW(layer.parameters()).step()
    questions, handles = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    Server(questions, handles).serve()


if __name__ == "__main__":
    main()
