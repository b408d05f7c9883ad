"""The screen of an interview: the task, the clock, the examples, and at the end the verdict."""

from __future__ import annotations

import difflib
import selectors
import shutil
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

from common.attempts import Attempt
from common.catalogue import SOLUTIONS, Problem, shown
from common.cli import learn
from common.cli.markdown import plain
from common.cli.saves import Saves, content
from common.cli.terminal import Terminal
from common.errors import CourseError
from common.progress import write_atomically
from common.results import Status
from common.warm_client import Warm

LIMIT = 20.0  # seconds for the hidden tests, or for the examples after a save
KEYS = "t task  e examples  h hint  s submit  q give up  (Ctrl-C leaves, clock goes on)"
AFTER = "v verdict  d yours and the reference  a approach  q quit"


class Interview:
    """An attempt on the screen."""

    def __init__(self, terminal: Terminal, problem: Problem, attempt: Attempt, *, fresh: bool):
        self.terminal, self.problem, self.attempt = terminal, problem, attempt
        self.warm = Warm()
        self.warm.prepare(problem)
        self.seen = content(problem.skeleton if fresh else attempt.file)
        self.saves = Saves([attempt.folder])
        self.expected = 0
        self.ending = ""  # why the hidden tests run
        self.judged: list[str] = []
        self.view, self.offset, self.hidden = "task", 0, 0
        self.saved: list[str] = ["Nothing saved yet."]
        self.body: list[str] = []
        self._show_task()
        if not fresh:
            self.saved = ["Welcome back: the clock went on while you were away.", *self.saved]
            self._look(saved=True)

    def loop(self) -> None:
        """Wait for keys, saves, answers and the clock, until it is over."""
        with selectors.DefaultSelector() as ready:
            for source in (self.terminal, self.saves, self.warm):
                ready.register(source, selectors.EVENT_READ)
            while True:
                if self.attempt.runs and not self.ending and self.attempt.left == 0:
                    self._end("time was up")
                self.draw()
                events = [key.fileobj for key, _ in ready.select(self._until_next_second())]
                if self.saves in events:
                    saved = bool(self.saves.take())
                    if self.attempt.runs and not self.ending:
                        self._look(saved=saved)
                if self.warm in events:
                    try:
                        for message in self.warm.read():
                            self._on_answer(message)
                    except EOFError:
                        raise CourseError("the checking process is gone; start again") from None
                if self.terminal in events and any(
                    self.on_key(key) == "quit" for key in self.terminal.pressed()
                ):
                    return

    def _until_next_second(self) -> float | None:
        return self.attempt.left % 1 + 0.01 if self.attempt.runs and not self.ending else None

    # --- what happens

    def _look(self, *, saved: bool) -> None:
        """Try the examples, and nothing else, if the file is another one or was saved for the first time."""
        now = content(self.attempt.file)
        if now == self.seen and (self.expected or not saved):
            return
        self.seen = now
        self.expected = self.warm.check(self.problem, LIMIT, self.attempt.file, examples=True)

    def _end(self, how: str) -> None:
        """Stop and run the hidden tests."""
        self.ending = how
        self.view, self.offset = "end", 0
        self.body = [f"{how[0].upper()}{how[1:]}. Running the hidden tests ..."]
        self.expected = self.warm.check(self.problem, LIMIT, self.attempt.file)

    def _on_answer(self, message: dict[str, Any]) -> None:
        if message.get("id") != self.expected:
            return
        if self.ending:
            self.attempt, self.judged = finish(self.problem, self.attempt, self.ending, message)
            self.view, self.offset, self.body = "end", 0, self.judged
            return
        self.saved = [f"Saved at {datetime.now():%H:%M:%S}.", "", *_candidates_view(message)]
        if self.view in ("task", "examples"):
            self.view, self.offset, self.body = "examples", 0, self.saved

    def on_key(self, key: str) -> str | None:
        room = max(self.terminal.size()[1] - 5, 1)
        if key in (" ", "\x1b[B", "j") and self.hidden:
            self.offset += room if key == " " else 1
        elif key in ("b", "\x1b[A", "k"):
            self.offset = max(self.offset - (room if key == "b" else 1), 0)
        elif not self.attempt.runs:
            return self._key_after(key)
        elif self.ending:
            pass
        elif self.view in ("submit?", "give up?"):
            if key == "y":
                self._end("submitted" if self.view == "submit?" else "given up")
            else:
                self._text("examples", self.saved)
        elif key == "t":
            self._show_task()
        elif key == "e":
            self._text("examples", self.saved)
        elif key == "h":
            self._hint()
        elif key == "s":
            self._text(
                "submit?", ["Submit, and see the score?", "", "y submits, any other key goes on."]
            )
        elif key == "q":
            self._text(
                "give up?",
                ["Give up? The hidden tests run on what you have.", "", "y gives up, any other key goes on."],
            )  # fmt: skip
        return None

    def _key_after(self, key: str) -> str | None:
        if key == "q":
            return "quit"
        if key == "v":
            self._text("end", self.judged)
        elif key == "d":
            self._text("end", side_by_side(self.attempt.file, self.problem.reference))
        elif key == "a":
            self._text("end", plain(_approach(self.problem).read_text(encoding="utf-8")))
        return None

    def _hint(self) -> None:
        hints = self.problem.hints
        number = min(self.attempt.hints, len(hints) - 1)
        self.attempt = self.attempt.hinted(number + 1)
        title, text = hints[number]
        self._text(
            "hint",
            [
                title,
                "",
                *plain(text),
                "",
                f"{number + 1} of {len(hints)} opened; the history will say so.",
            ],
        )

    # --- what is shown

    def draw(self) -> None:
        left = round(self.attempt.left)
        state = (
            f"{left // 60:d}:{left % 60:02d} left"
            if self.attempt.runs
            else f"{self.attempt.score} %"
        )
        total = 60 * self.attempt.minutes
        head = [
            f"{learn.bar(round(total) - left, round(total), 20)} {state}   {_label(self.problem)}",
            shown(self.attempt.file),
            "",
        ]
        foot = KEYS if self.attempt.runs else AFTER
        self.hidden = self.terminal.draw(head, self.body, foot, offset=self.offset)

    def _show_task(self) -> None:
        text = self.problem.readme_text.partition("\n## Task\n")[2].partition("\n## Hints\n")[0]
        self._text("task", plain("## Task\n" + text))

    def _text(self, view: str, lines: list[str]) -> None:
        self.view, self.offset, self.body = view, 0, lines

    def close(self) -> None:
        self.saves.close()
        self.warm.close()


def finish(
    problem: Problem, attempt: Attempt, how: str, message: dict[str, Any]
) -> tuple[Attempt, list[str]]:
    """Stop the clock, keep the score, and lay report, reference and approach beside the file."""
    late = attempt.file.stat().st_mtime - (attempt.begun + 60 * attempt.minutes)
    if "ended" in message:
        passed, checks = 0, 1
        verdict = ["", _why_ended(message)]
    else:
        outcomes = message["outcomes"]
        passed = sum(status == Status.PASSED for _, status, _ in outcomes)
        checks, verdict = len(outcomes) or 1, message["lines"]
    done = attempt.ended(how, passed, checks)
    shutil.copyfile(problem.reference, attempt.folder / "reference.py")
    shutil.copyfile(_approach(problem), attempt.folder / "APPROACH.md")
    lines = [
        f"{how[0].upper()}{how[1:]} after {minutes(done.used)} of {attempt.minutes:g} minutes: {done.score} %.",
        *([f"The file was changed {late / 60:.0f} minutes after time was up; that counts too."] if late > 60 else []),
        "",
        *[line for line in verdict[1:] if not line.startswith("Next: ")],
        "",
        "Beside your file now: reference.py, APPROACH.md and report.txt, in",
        f"{shown(attempt.folder)}",
    ]  # fmt: skip
    write_atomically(attempt.folder / "report.txt", "\n".join(lines) + "\n")
    return done, lines


def side_by_side(mine: Path, reference: Path, width: int = 80) -> list[str]:
    """Two files in two columns, lines that differ marked."""
    column = (width - 3) // 2
    left, right = (
        p.read_text(encoding="utf-8", errors="replace").splitlines() for p in (mine, reference)
    )
    rows = [f"{'yours':<{column}}   the reference", ""]

    def row(a: str, mark: str, b: str) -> str:
        return f"{a[:column]:<{column}} {mark} {b[:column]}".rstrip()

    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        mark = " " if kind == "equal" else "|"
        for n in range(max(j - i, m - k)):
            a = left[i + n] if i + n < j else ""
            b = right[k + n] if k + n < m else ""
            rows.append(row(a, mark, b))
    return rows


def _candidates_view(message: dict[str, Any]) -> list[str]:
    if "ended" in message:
        return textwrap.wrap(_why_ended(message), 80)
    if not message["loads"]:
        return ["The file does not run:", *_set_in(message["lines"], "  ")]
    lines = []
    for caption, passes, detail in message["examples"]:
        lines.append(
            f"{'passes' if passes else 'FAILS':<7} {textwrap.shorten(caption, 70, placeholder=' ...')}"
        )
        lines += _set_in(detail, " " * 8)
    return lines


def _set_in(lines: list[str], indent: str) -> list[str]:
    """Set in, and wrapped to at most two lines each."""
    out = []
    for line in lines:
        lead = indent + " " * (len(line) - len(line.lstrip()))
        out += textwrap.wrap(
            line.strip(), 80, initial_indent=lead, subsequent_indent=lead + "  ", max_lines=2, placeholder=" ...",
        ) or [""]  # fmt: skip
    return out


def _why_ended(message: dict[str, Any]) -> str:
    where = message.get("where") or "an unknown place"
    if message["ended"] == "timeout":
        return f"No end after {LIMIT:g} seconds: likely an endless loop, at {where}."
    return f"Your code ended Python itself ({where})."


def minutes(value: float | None) -> str:
    """Minutes as a report shows them."""
    return f"{value or 0:.1f}"


def _label(problem: Problem) -> str:
    return f"Interview {problem.key[-2:]} {problem.title}"


def _approach(problem: Problem) -> Path:
    return SOLUTIONS / problem.name / "APPROACH.md"
