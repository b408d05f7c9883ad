"""The screen of a hunt: the file, what was seen of it, and at the end what became of each bug."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from common.cli import learn
from common.cli.interview_screen import Interview, Lines, Part
from common.cli.markdown import plain
from common.cli.screen import broken
from common.course.catalogue import Problem, shown
from common.course.readme import Folded
from common.files import content, text, write_atomically
from common.hunting import crediting, showing
from common.hunting.composing import LEVELS, Hunt
from common.hunting.curves import curve_of
from common.interviewing.asking import LIMIT
from common.interviewing.debrief import minutes
from common.judging.records import Request, Verdict
from common.judging.report import wrapped
from common.learner.attempts import Attempt

RUN = 60.0  # seconds for a run with training
_MAKING = "What is seen when it runs is being made{}; it will stand here."


def on_given(hunt: Hunt, attempt: Attempt) -> Request:
    """All checks on the file as it was handed out."""
    return Request(hunt.problem.name, attempt.given, "given", cause=False, limit=LIMIT)


def asked(hunt: Hunt, attempt: Attempt, answers: Sequence[Verdict]) -> list[Request]:
    """What is asked at the end: all checks on both files, then on the suspects where something was broken."""
    mended = Request(hunt.problem.name, attempt.file, "given", cause=False, limit=LIMIT)
    requests = [on_given(hunt, attempt), mended]
    if len(answers) >= len(requests):
        texts = crediting.suspects(hunt, answers[0], answers[1], text(attempt.file))
        requests += [replace(mended, source=each) for each in texts.values()]
    return requests


class Hunting(Interview):
    """A hunt on the screen."""

    counts_hints = False  # two for each bug: their number would tell how many there are
    keys = "t task  y symptoms  e examples  h hint  s submit  q give up  Ctrl-C leaves, the clock goes on"
    after = "v debrief  d your file against the clean one  t task  y symptoms  q quit"
    end_asks = "Submit, and see what became of each bug?"

    def __init__(
        self, hunt: Hunt, attempt: Attempt, *, fresh: bool, part: Part | None = None
    ) -> None:
        self.hunt = hunt
        self.given: Verdict | None = None
        self.seen = attempt.folder / "symptoms.txt"
        self.trains = hunt.problem.symptoms.exists()
        self.drawing: asyncio.Task[None] | None = None
        if self.trains:
            self.keys = self.keys.replace("h hint", "r run it  h hint")
        super().__init__(hunt.problem, attempt, fresh=fresh, part=part)
        if fresh or not self.seen.exists() or not hunt.problem.readme.examples:
            self.session.check(on_given(hunt, attempt))
        self._show_task()

    # --- what a hunt asks and shows

    def began_as(self) -> bytes:
        return self.hunt.text.encode()

    def task(self, width: int) -> list[str]:
        level = LEVELS[self.hunt.level]
        says = f"Find the bugs ({level.says}), mend them in the file above, and leave the rest as it is."
        problem = self.hunt.problem
        road = not (problem.is_hunt or problem.is_interview)
        task = learn.task_of(problem) if road else problem.readme.task
        lead = ["WHAT IS SEEN", "", *self._symptoms(width), "", "WHAT IT IS MEANT TO DO", ""]
        return [*wrapped(says, width), "", *lead, *plain(task, width)]

    def hints(self) -> list[Folded]:
        if self.given is None:
            return []
        return [Folded(title, text) for title, text in crediting.hints(self.hunt, self.given)]

    def asked_at_the_end(self) -> list[Request]:
        return asked(self.hunt, self.attempt, self.verdicts)

    def finish(self, verdicts: list[Verdict]) -> tuple[Attempt, list[str]]:
        return finish(self.hunt, self.attempt, self.ending, verdicts)

    def on_other_key(self, key: str) -> None:
        if key == "y":
            self.show("symptoms", self._symptoms)
        elif key == "r" and self.trains:
            self.show("run", lambda _: ["Running your file: about ten seconds ..."])
            self.session.check(self._run(self.attempt.file))

    def after_the_end(self) -> dict[str, Lines]:
        diff = showing.against_the_clean_file(self.hunt, text(self.attempt.file))
        return {
            "v": self.judged,
            "d": lambda width: [
                learn.painted_diff(x) for line in diff for x in broken(line, width)
            ],
            "t": self.task,
            "y": self._symptoms,
        }

    def asked_at_a_save(self, problem: Problem) -> Request:
        """On a save: the examples; where the task has none, what was reported of the file as it was handed out."""
        request = super().asked_at_a_save(problem)
        reported = showing.reported(self.given) if self.given else None
        if problem.readme.examples or not reported:
            return request
        return replace(request, examples=False, checks=(reported.name,), cause=False)

    # --- what happens

    def on_verdict(self, verdict: Verdict) -> None:
        about = verdict.request
        if self.ending:
            super().on_verdict(verdict)
        elif about.checks:
            stamp = self.stamp()
            self.saved = lambda w: [stamp, "", *_broken(showing.after_a_save(verdict), w)]
            if self.view != "submit?" and self.view != "give up?":
                self.show("examples", self.saved)
        elif about.file != self.attempt.given and about.symptoms:
            self.show("run", lambda width: _broken(_outcome(verdict), width))
            self._draw(verdict, "loss-now.png")
        elif about.file != self.attempt.given:
            super().on_verdict(verdict)
            if not self.seen.exists():  # a save came before the symptoms were there
                self.session.check(on_given(self.hunt, self.attempt))
        elif about.symptoms or about.examples:
            assert self.given
            write_atomically(self.seen, "\n".join(showing.symptoms(self.given, verdict)) + "\n")
            self._draw(verdict, "loss.png")
            self.screen.draw()
            self._check_what_was_saved()
        else:
            self.given = verdict
            if self.seen.exists():
                self._check_what_was_saved()
            else:
                self.session.check(self._look())

    def _check_what_was_saved(self) -> None:
        """What came while the planted file was being looked at."""
        if content(self.attempt.file) != self.began_as():
            self.session.check(self.asked_at_a_save(self.problem))

    def _look(self) -> Request:
        """Run the planted file as somebody who uses it would."""
        given = self.attempt.given
        if self.trains:
            return self._run(given)
        return Request(self.hunt.problem.name, given, "given", examples=True, limit=LIMIT)

    def _run(self, file: Any) -> Request:
        return Request(self.hunt.problem.name, file, "given", symptoms=True, limit=RUN)

    def _draw(self, verdict: Verdict, name: str) -> None:
        """The curve of a run as a picture, while the screen goes on."""
        if history := curve_of(verdict.log):
            from common.train.plot import save_plot

            place = self.attempt.folder / name
            self.drawing = asyncio.create_task(asyncio.to_thread(save_plot, history, None, place))

    def _symptoms(self, width: int) -> list[str]:
        try:
            lines = self.seen.read_text(encoding="utf-8").splitlines()
        except OSError:
            return wrapped(_MAKING.format(", about ten seconds" if self.trains else ""), width)
        if (self.attempt.folder / "loss.png").exists():
            lines += ["", f"The curve as a picture: {shown(self.attempt.folder / 'loss.png')}"]
        return _broken(lines, width)


def _broken(lines: list[str], width: int) -> list[str]:
    return [
        piece for line in lines for piece in (wrapped(line, width) if len(line) > width else [line])
    ]


def _outcome(verdict: Verdict) -> list[str]:
    """What running the candidate's file gave."""
    if verdict.log:
        return showing.with_curve(verdict.log)
    if verdict.failure:
        return ["The file does not run:", *verdict.failure.splitlines()]
    return [f"No end after {RUN:g} seconds, or Python itself was ended ({verdict.where})."]


def finish(
    hunt: Hunt, attempt: Attempt, how: str, verdicts: list[Verdict]
) -> tuple[Attempt, list[str]]:
    """Stop the clock, judge bug by bug, and lay the debrief and the clean file beside the candidate's."""
    given, mended, *others = verdicts
    now = text(attempt.file)
    undone = dict(zip(crediting.suspects(hunt, given, mended, now), others, strict=True))
    found = crediting.debriefed(hunt, given, mended, now, undone)
    bugs = tuple((f.bug.name, float(f.fate == crediting.Fate.MENDED), 1.0) for f in found.findings)
    done = attempt.ended(how, found.mended, len(found.findings), promises=bugs)
    write_atomically(attempt.folder / "clean.py", hunt.clean)
    used = f"{minutes(done.used)} of {attempt.minutes:g} minutes"
    lines = [
        f"{how[0].upper()}{how[1:]} after {used}.",
        *showing.debrief(hunt, found, mended),
        f"Beside your file now: clean.py and report.txt, in {shown(attempt.folder)}",
    ]
    write_atomically(attempt.folder / "report.txt", "\n".join(lines) + "\n")
    return done, lines


def heading(problem: Problem, level: int, seed: int) -> str:
    """What a list calls a hunt."""
    about = f" in {problem.label}" if level == 1 else ""
    return f"level {level}{about}, seed {seed}"
