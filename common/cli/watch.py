"""gpt2 watch: save, and know."""

from __future__ import annotations

import argparse
import selectors
import textwrap
from pathlib import Path
from typing import Any

from common import progress
from common.catalogue import ROOT, Problem, find, problems, shown
from common.cli import learn
from common.cli.markdown import plain
from common.cli.saves import Saves, content
from common.cli.terminal import Terminal
from common.progress import State
from common.results import Outcome, Status
from common.warm_client import Warm

KEYS = "n next  h hint  l list  d diff  r run  x reset  q quit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problem", nargs="?", help="number or name; default: the first unsolved one"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="end a check that takes longer (default 10)",
    )


def run(args: argparse.Namespace) -> int:
    """Watch until q."""
    start = find(args.problem) if args.problem else learn.first_unsolved() or problems()[0]
    if not args.limit > 0:
        from common.errors import UsageError

        raise UsageError(f"--limit must be above 0 seconds, not {args.limit:g}")
    with Terminal() as terminal:
        watch = Watch(terminal, start, args.limit)
        try:
            watch.loop()
        finally:
            watch.close()
    return 0


class Watch:
    """The state of the loop: a problem, its verdict, and what is on the screen."""

    def __init__(self, terminal: Terminal, problem: Problem, limit: float) -> None:
        self.terminal, self.limit = terminal, limit
        self.warm = Warm()
        self.saves = Saves([ROOT / "problems", ROOT / "common"])
        self.ready = self.running = self.passes = False
        self.expected = 0  # the number of the answer that is waited for
        self.seen: dict[Path, bytes] = {}
        self.body: list[str] = []
        self.offset = 0
        self.hidden = 0
        self.view = "verdict"  # or "list", "text", "reset?"
        self.typed = ""
        self.open(problem)

    # --- what happens

    def open(self, problem: Problem) -> None:
        """Go to a problem and check it."""
        self.problem = problem
        self.seen = {path: content(path) for path in self._files()}
        self.passes = False
        self.warm.prepare(problem)
        self.check()

    def check(self) -> None:
        """Ask for a verdict on the file as it is now."""
        self.view, self.offset, self.typed = "verdict", 0, ""
        self.running = True
        self.body = ["checking ..." if self.ready else "loading PyTorch ..."]
        self.expected = self.warm.check(self.problem, self.limit)
        self.digest = progress.digest(self.problem)

    def loop(self) -> None:
        """Wait for keys, saves and answers until q."""
        with selectors.DefaultSelector() as ready:
            while True:
                self.draw()
                for source in (self.terminal, self.saves, self.warm):
                    ready.register(source, selectors.EVENT_READ)
                try:
                    events = [key.fileobj for key, _ in ready.select(0.5 if self.running else None)]
                finally:
                    for source in (self.terminal, self.saves, self.warm):
                        ready.unregister(source)
                if self.saves in events:
                    self.on_change(self.saves.take())
                if self.warm in events:
                    try:
                        for message in self.warm.read():
                            self.on_answer(message)
                    except EOFError:
                        self.warm.start()
                        self.check()
                if self.terminal in events:
                    for key in self.terminal.pressed():
                        if self.on_key(key) == "quit":
                            return

    def on_change(self, paths: set[Path]) -> None:
        """A file was saved: check anew if anything that counts now reads differently."""
        if any(path.suffix == ".py" and ROOT / "common" in path.parents for path in paths):
            self.ready = False
            self.warm.start()
            self.warm.prepare(self.problem)
            self.check()
            return
        now = {path: content(path) for path in self._files()}
        if now != self.seen:
            self.seen = now
            self.problem.__dict__.pop("readme_text", None)
            self.check()

    def on_answer(self, message: dict[str, Any]) -> None:
        if message.get("ready"):
            self.ready = True
            if self.running:
                self.body = ["checking ..."]
            return
        if message.get("id") != self.expected:
            return  # of a file that has changed since
        self.running = False
        if "ended" in message:
            self.body = self._ended(message)
            self._remember([], loads=False)
            return
        outcomes = [
            Outcome(name, Status(status), parts=tuple(parts))
            for name, status, parts in message["outcomes"]
        ]
        self.passes = message["passes"]
        self._remember(outcomes, loads=message["loads"])
        self.body = [*message["lines"]]
        if self.passes:
            self.body = [*self.body[:2], "", *self._worth_knowing(), "Press n to go on."]

    def on_key(self, key: str) -> str | None:
        if self.view == "list" and (key.isdigit() or key in ("\n", "\r", "\x7f", "i")):
            self._type(key)
        elif self.view == "reset?":
            self.view = "verdict"
            if key == "y":
                learn.restart(self.problem)
            else:
                self.check()
        elif key == "q":
            return "quit"
        elif key == "n":
            self._next()
        elif key == "r":
            self.check()
        elif key == "h":
            self._hint()
        elif key == "d":
            self._text(learn.diff_lines(self.problem) if self.passes else _NOT_YET)
        elif key == "l":
            self.view, self.offset, self.typed = "list", 0, ""
            self.body = learn.rows()
        elif key == "x":
            self.view = "reset?"
            self.body = [
                f"Replace {shown(self.problem.solution)} by the skeleton?",
                "",
                "A backup is kept, and `gpt2 undo` brings it back.",
            ]
        elif key in (" ", "\x1b[B", "j") and self.hidden:
            self.offset += max(self.terminal.size()[1] - 6, 1) if key == " " else 1
        elif key in ("b", "\x1b[A", "k"):
            self.offset = max(
                self.offset - (max(self.terminal.size()[1] - 6, 1) if key == "b" else 1), 0
            )
        elif key == "\x1b" and self.view != "verdict":
            self.check()
        return None

    # --- what is shown

    def draw(self) -> None:
        data = progress.read()
        road = [p for p in problems() if not p.is_interview]
        solved = sum(progress.state(p, data)[0] == State.PASSES for p in road)
        width = max(len(self.problem.title) + 24, 40)
        head = [
            f"{learn.bar(solved, len(road), max(self.terminal.size()[0] - width - 10, 8))} {solved} of {len(road)}"
            f"   {self.problem.key} {self.problem.title}",
            f"{shown(self.problem.solution)}",
            "",
        ]
        foot = {
            "list": f"number and Enter to jump, Esc to go back: {self.typed}",
            "reset?": "y replaces it, any other key leaves it",
        }.get(self.view, KEYS)
        self.hidden = self.terminal.draw(head, self.body, foot, offset=self.offset)

    def _text(self, lines: list[str]) -> None:
        self.view, self.offset, self.body = "text", 0, lines

    def _hint(self) -> None:
        title, text, left = learn.next_hint(self.problem)
        more = f"{left} more with h." if left else "That was the last hint."
        self._text([title, "", *plain(text), "", more, "Save the file to check again, or press r."])

    def _worth_knowing(self) -> list[str]:
        """The first question of the README's "Go further"."""
        questions = self.problem.questions
        if not questions:
            return []
        question, answer = questions[0]
        return ["Worth knowing:", *textwrap.wrap(question, 80), "", *plain(answer), ""]

    def _ended(self, message: dict[str, Any]) -> list[str]:
        head = f"{self.problem.key} {self.problem.title} · {shown(self.problem.solution)} (yours)"
        if message["ended"] == "timeout":
            where = message["where"] or "the place could not be found out"
            text = [
                f"FAILED  no end after {self.limit:g} seconds: likely an endless loop",
                f"  it was at {where}",
                "  Look at the loop around that line: what makes it stop?",
            ]
        elif message["ended"] == "broken":
            text = message["where"].splitlines()
        else:
            text = [
                f"FAILED  your code ended Python itself ({message['where']})",
                "  That is os._exit, or a crash inside a library.",
            ]
        return [head, *text]

    def _next(self) -> None:
        known = problems()
        data = progress.read()
        after = [*known[known.index(self.problem) + 1 :], *known[: known.index(self.problem)]]
        road = [p for p in after if not p.is_interview]
        following = next((p for p in road if progress.state(p, data)[0] != State.PASSES), None)
        if following:
            self.open(following)
        else:
            self._text(["Every problem passes: the GPT-2 you have is your own."])

    def _type(self, key: str) -> None:
        if key == "\x7f":
            self.typed = self.typed[:-1]
        elif key.isdigit() or key == "i":
            self.typed += key
        else:
            number = self.typed.replace("i", "interview-")
            wanted = next((p for p in problems() if number and p.key == _padded(number)), None)
            if wanted:
                self.open(wanted)
            else:
                self.typed = ""

    # --- what is remembered

    def _files(self) -> list[Path]:
        return [self.problem.solution, self.problem.readme, self.problem.tests]

    def _remember(self, outcomes: list[Outcome], *, loads: bool) -> None:
        if progress.digest(self.problem) == self.digest:  # else it is about another file by now
            progress.record(self.problem, outcomes, loads=loads)

    def close(self) -> None:
        self.saves.close()
        self.warm.close()


_NOT_YET = [
    "The reference is shown once yours passes.",
    "",
    "To see it anyway: uv run gpt2 diff NN --spoil",
]


def _padded(number: str) -> str:
    prefix, _, digits = number.rpartition("-")
    return (
        f"{prefix}-{int(digits):02d}"
        if prefix
        else f"{int(digits):02d}"
        if digits.isdigit()
        else number
    )
