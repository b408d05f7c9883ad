"""gpt2 watch: save, and know."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from common.cli import answer, learn, main
from common.cli.markdown import plain
from common.cli.screen import Page, Screen, broken, require_terminal
from common.course.catalogue import Problem, find, road, shown
from common.errors import UnknownProblem, UsageError
from common.judging.records import Verdict
from common.judging.report import wrapped
from common.judging.restraint import Restraint
from common.learner import progress, work
from common.learner.progress import State
from common.running.session import Session
from common.shell import gpt2

KEYS = "n next  h hint  t task  l list  a all  d diff  e explain  r run  x reset  q quit"
Lines = Callable[[int], list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    learn.add_problem(parser)
    parser.add_argument(
        "--plain", action="store_true", help="print one report after another: no drawing, no keys"
    )
    learn.add_watching(parser)


def run(args: argparse.Namespace) -> int:
    """Watch until q."""
    start = find(args.problem) if args.problem else work.first_unsolved() or road()[0]
    if not args.limit > 0:
        raise UsageError(f"--limit must be above 0 seconds, not {args.limit:g}")
    if args.plain:
        asyncio.run(in_plain_text(start, args.limit, think=args.think))
        return 0
    require_terminal()
    if hunted := asyncio.run(_on_a_screen(start, args.limit, think=args.think)):
        return main(["hunt", hunted.key])
    return 0


async def _on_a_screen(start: Problem, limit: float, *, think: bool) -> Problem | None:
    """Watch until the screen is left; the problem in which a bug is to be hunted next, if one was named."""
    watch = Watch(limit, Restraint(think))
    watch.session.open(start)
    await watch.screen.run(watch.session.run())
    return watch.hunted


async def in_plain_text(start: Problem, limit: float, *, think: bool = False) -> None:
    """Print each report; once a save makes a problem pass, go on to the next."""
    restraint, saved = Restraint(think), False

    def on_verdict(verdict: Verdict) -> None:
        nonlocal saved
        restraint.look(verdict)
        print(f"\n{datetime.now():%H:%M:%S}", *restraint.lines(verdict), sep="\n", flush=True)
        assert session.problem
        following = work.next_unsolved(session.problem) if verdict.passes and saved else None
        saved = True  # the first report is on the file as it was found
        if following:
            print(f"\nNow watching {shown(following.solution)}.", flush=True)
            session.open(following)

    session = Session(limit, on_verdict)
    session.open(start)
    print(f"Watching {shown(start.solution)}. Ctrl-C ends.", flush=True)
    await session.run()


class Watch:
    """A session, and what of it is on the screen."""

    def __init__(self, limit: float, restraint: Restraint) -> None:
        self.restraint = restraint
        self.session = Session(limit, self.on_verdict, self.on_begin, on_checked=self.on_verdict)
        self.verdict: Verdict | None = None
        self.view = "verdict"  # or "list", "text", "reset?"
        self.body: Lines = lambda _: []
        self.offset = 0
        self.typed = ""
        self.answered = False  # the question that follows a pass
        self.hunted: Problem | None = None  # where a bug is to be hunted once the screen is closed
        self.screen = Screen(self.page, self.on_key)

    @property
    def problem(self) -> Problem:
        return self.session.problem or road()[0]

    # --- what happens

    def on_begin(self) -> None:
        self.answered = False
        waiting = "checking ..." if self.session.loaded else "loading PyTorch ..."
        self.verdict = None
        self.show("verdict", lambda _: [waiting])

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdict = verdict
        if not (verdict.partial or verdict.request.by_cause):
            self.restraint.look(verdict)
        self.show("verdict", self._verdict)

    def on_key(self, key: str) -> None:
        if (offset := self.screen.scroll(key)) is not None:
            self.offset = offset
        elif self.view == "list" and (key.isdigit() or key in ("enter", "backspace", "i", "f")):
            self._type(key)
        elif self.view == "reset?":
            if key == "y":
                work.restart(self.problem)
            self.session.check()
        elif key == "escape":
            if self.view != "verdict":
                self._back()
        elif key in self.keys:
            self.keys[key]()

    @property
    def keys(self) -> dict[str, Callable[[], None]]:
        return {
            "q": self.screen.close,
            "n": self._next,
            "r": self.session.check,
            "h": self._hint,
            "t": lambda: self.show("text", lambda w: plain(learn.task_of(self.problem), w)),
            "a": self._all,
            "c": self._cause,
            "o": self._answer,
            "d": lambda: self._after_a_pass("diff", self._diff),
            "e": lambda: self._after_a_pass("explain", self._explanation),
            "l": self._list,
            "x": self._ask_reset,
        }

    # --- what is shown

    def page(self) -> Page:
        data = progress.read()
        solved = sum(progress.state(p, data)[0] == State.PASSES for p in road())
        count = f"{solved} of {len(road())}"
        head = [
            f"{learn.bar(solved, len(road()))} {count}   {self.problem.label}",
            shown(self.problem.solution),
            "",
        ]
        foot = {
            "list": f"number and Enter to jump, f and number to hunt a bug there, Esc to go back: {self.typed}",
            "reset?": "y replaces it, any other key leaves it",
        }.get(self.view, f"c cause  {KEYS}" if self.restraint.wanted else KEYS)
        return Page(head, self.body, foot, self.offset)

    def show(self, view: str, body: Lines) -> None:
        self.view, self.body, self.offset, self.typed = view, body, 0, ""
        if hasattr(self, "screen"):
            self.screen.draw()

    def _back(self) -> None:
        if self.verdict:
            self.show("verdict", self._verdict)
        else:
            self.session.check()

    def _verdict(self, width: int) -> list[str]:
        assert self.verdict
        lines = self.restraint.lines(self.verdict, width)
        if not self.verdict.passes:
            return lines
        return [
            *lines[:2],
            "",
            *self._worth_knowing(width),
            "Press e to read why the reference is as it is, n to go on.",
        ]

    def _worth_knowing(self, width: int) -> list[str]:
        """The first question of the README's "Go further"."""
        questions = self.problem.readme.questions
        if not questions:
            return []
        first = questions[0]
        asked = ["Before the next:", *wrapped(first.title, width), ""]
        if not self.answered:
            return [*asked, "Say it to yourself, then press o to open the answer.", ""]
        return [*asked, *plain(first.text, width), ""]

    def _hint(self) -> None:
        hint, left = work.next_hint(self.problem)
        more = f"{left} more with h." if left else "That was the last hint."
        end = f"{more} Save the file to check again, or press r."
        self.show("text", lambda w: [hint.title, "", *plain(hint.text, w), "", *wrapped(end, w)])

    def _all(self) -> None:
        """Every failing check, sorted by cause."""
        self.session.check(replace(self.session.request(self.problem), by_cause=True))

    def _cause(self) -> None:
        self.restraint.lifted = True
        self._back()

    def _answer(self) -> None:
        self.answered = True
        self._back()

    def _after_a_pass(self, command: str, body: Callable[[], Lines]) -> None:
        """Show what gives the answer away, or say how to see it before."""
        see = gpt2(f"{command} {self.problem.key} --spoil")
        said = f"That is shown once yours passes. To see it anyway: {see}"
        passes = self.verdict and self.verdict.passes
        self.show("text", body() if passes else lambda width: wrapped(said, width))

    def _diff(self) -> Lines:
        lines = work.diff_lines(self.problem) or ["Yours and the reference are the same."]
        return lambda width: [learn.painted_diff(x) for line in lines for x in broken(line, width)]

    def _explanation(self) -> Lines:
        problem = self.problem
        return lambda width: answer.explanation_of(problem, width)

    def _list(self) -> None:
        self.show("list", learn.rows)

    def _ask_reset(self) -> None:
        question = f"Replace {shown(self.problem.solution)} by the skeleton?"
        kept = f"A backup is kept, and {gpt2('undo')} brings it back."
        self.show("reset?", lambda w: [*wrapped(question, w), "", *wrapped(kept, w)])

    def _next(self) -> None:
        following = work.next_unsolved(self.problem)
        if following:
            self.session.open(following)
        else:
            done = ["Every problem passes: the GPT-2 you have is your own."]
            self.show("text", lambda _: done)

    def _type(self, key: str) -> None:
        if key == "backspace":
            self.typed = self.typed[:-1]
        elif key != "enter":
            self.typed += key
        elif self.typed:
            wanted, self.typed = self.typed, ""
            with contextlib.suppress(UnknownProblem):  # then the list stays
                if wanted.startswith("f"):
                    self.hunted = find(wanted[1:])
                    self.screen.close()
                else:
                    self.session.open(find(wanted))
