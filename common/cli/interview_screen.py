"""The screen of an interview: the task, the clock, the examples, and at the end the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.cli import answer, learn
from common.cli.interview_debrief import compared
from common.cli.markdown import plain
from common.cli.screen import Page, Screen
from common.course.catalogue import Problem, shown
from common.files import text
from common.interviewing.asking import candidates_view
from common.interviewing.sitting import Sitting
from common.judging.records import Verdict
from common.judging.report import wrapped
from common.learner.attempts import Attempt

Lines = Callable[[int], list[str]]


@dataclass(frozen=True)
class Part:
    """What an attempt is a part of; by default of nothing but itself.

    Args:
        lead: stands before the problem's name. before: seconds on the clock of the whole before it began.
        asks: the question before it is handed in; by default the attempt's own.
        over: what can be looked at besides once it is over, by its key, the first of it at once; None where
            something else follows, and the screen closes. It is given the record and when the clock stopped.
        also: these keys, for the last line.
    """

    lead: str = ""
    before: float = 0.0
    asks: str = ""
    also: str = ""
    over: Callable[[Attempt, float], dict[str, Lines] | None] = lambda *_: {}


class Interview(Sitting):
    """An attempt on the screen. A hunt is one, too."""

    keys = "t task  e examples  h hint  s submit  q give up  Ctrl-C leaves, the clock goes on"
    after = "v verdict  d yours and the reference  a approach  q quit"
    end_asks = "Submit, and see the score?"
    counts_hints = True  # how many there are is told

    def __init__(
        self, problem: Problem, attempt: Attempt, *, fresh: bool, part: Part | None = None
    ) -> None:
        super().__init__(problem, attempt, fresh=fresh)
        self.part = part or Part()
        self.more: dict[str, Lines] = {}  # what its part shows once it is over
        self.view, self.body, self.offset = "", (lambda _: []), 0
        self.judged: Lines = lambda _: []
        self.saved: Lines = lambda _: ["Nothing saved yet."]
        if not fresh:
            self.saved = lambda _: ["Welcome back: the clock went on while you were away."]
        self.screen = Screen(self.page, self.on_key)
        self._show_task()
        self.open()

    # --- what differs between an interview and a hunt

    def task(self, width: int) -> list[str]:
        own = shown(self.problem.solution)  # where it is practised without a clock
        return plain(self.problem.readme.task.replace(own, shown(self.attempt.file)), width)

    def on_other_key(self, key: str) -> None:
        """A key that only some kinds of attempt know, while the clock runs."""

    def after_the_end(self) -> dict[str, Lines]:
        """What can be looked at once it is over, by its key."""
        mine, theirs = text(self.attempt.file), self.problem.reference_text
        return {
            "v": self.judged,
            "d": lambda width: compared(mine, theirs, width),
            "a": lambda width: answer.explanation_of(self.problem, width),
        }

    # --- what happens

    def on_begin(self) -> None:
        self.screen.draw()

    def on_tick(self) -> None:
        self.screen.draw()

    def on_save(self, stamp: str, verdict: Verdict) -> None:
        self.saved = lambda width: [stamp, "", *candidates_view(verdict, width)]
        if self.view in ("task", "examples", "hint", "symptoms", "run"):
            self.show("examples", self.saved)

    def on_end(self, said: str) -> None:
        self.show("end", lambda _: [said])

    def on_missing(self, said: str) -> None:
        self.show("examples", lambda width: wrapped(said, width))

    def on_over(self, lines: list[str]) -> None:
        self.judged = lambda width: [piece for line in lines for piece in wrapped(line, width)]
        more = self.part.over(self.attempt, self.stopped)
        if more is None:
            self.screen.close()
            return
        self.more = more
        self.show("end", next(iter(more.values()), self.judged))

    def on_key(self, key: str) -> None:
        if (offset := self.screen.scroll(key)) is not None:
            self.offset = offset
        elif not self.attempt.runs:
            self._after(key)
        elif self.ending:
            pass
        elif self.view in ("submit?", "give up?"):
            if key == "y":
                self.end("submitted" if self.view == "submit?" else "given up")
            else:
                self.show("examples", self.saved)
        elif key == "t":
            self._show_task()
        elif key == "e":
            self.show("examples", self.saved)
        elif key == "h":
            self._hint()
        elif key == "s":
            asks = self.part.asks or self.end_asks
            self._ask("submit?", asks, "y submits, any other key goes on.")
        elif key == "q":
            question = "Give up? The hidden tests run on what you have."
            self._ask("give up?", question, "y gives up, any other key goes on.")
        else:
            self.on_other_key(key)

    def _after(self, key: str) -> None:
        if key == "q":
            self.screen.close()
        elif body := (self.after_the_end() | self.more).get(key):
            self.show("end", body)

    def _hint(self) -> None:
        if not (hint := self.hint()):
            return
        number = min(self.attempt.hints, len(self.hints()))
        count = f"{number} of {len(self.hints())}" if self.counts_hints else f"Hint {number} is"
        end = f"{count} opened; the history will say so."
        self.show("hint", lambda width: [hint.title, "", *plain(hint.text, width), "", end])

    # --- what is shown

    def page(self) -> Page:
        head = [
            f"{self._state()}   {self.part.lead}{self.problem.label}",
            f"{shown(self.attempt.file)}{'   running it ...' if self.session.judging else ''}",
            "",
        ]
        keys = self.keys if self.attempt.runs else f"{self.part.also}{self.after}"
        if self.attempt.runs and (self.ending or self.view in ("submit?", "give up?")):
            keys = ""  # none of them does what it says there
        return Page(head, self.body, keys, self.offset)

    def _state(self) -> str:
        """The clock; once it is over, the score."""
        if not self.attempt.runs:
            return f"{learn.bar(round(100 * self.attempt.share), 100)} {self.attempt.score}"
        left = round(self.attempt.left)
        total = round(60 * self.attempt.minutes + self.part.before)
        return f"{learn.bar(total - left, total)} {left // 60:d}:{left % 60:02d} left"

    def show(self, view: str, body: Lines) -> None:
        self.view, self.body, self.offset = view, body, 0
        self.screen.draw()

    def _show_task(self) -> None:
        self.show("task", self.task)

    def _ask(self, view: str, *lines: str) -> None:
        self.show(
            view,
            lambda width: [x for line in (lines[0], "", *lines[1:]) for x in wrapped(line, width)],
        )
