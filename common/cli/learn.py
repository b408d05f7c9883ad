"""The learner's commands. None of them imports torch; `check` does, through the runner."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from common.cli.markdown import plain
from common.course.catalogue import Problem, find, problems, road, shown
from common.course.readme import Folded
from common.errors import UsageError
from common.learner import progress, work
from common.learner.progress import State
from common.practice import plan
from common.review import portion
from common.shell import gpt2

_MARK = {State.PASSES: "✓", State.IN_PROGRESS: "…", State.NOT_STARTED: "·"}
_COLOUR = {State.PASSES: "32", State.IN_PROGRESS: "33", State.NOT_STARTED: "2"}
_DONE = "Every problem passes: the GPT-2 you have is your own."


def add_problem(parser: argparse.ArgumentParser, *, optional: bool = True) -> None:
    """The argument that names a problem."""
    default = "; default: the first unsolved one" if optional else ""
    parser.add_argument(
        "problem", nargs="?" if optional else None, help=f"number, name or part of it{default}"
    )


def add_watching(parser: argparse.ArgumentParser) -> None:
    """The arguments of what checks at every save."""
    parser.add_argument(
        "--limit",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="end a check that takes longer (default 10)",
    )
    parser.add_argument(
        "--think",
        action="store_true",
        help="hold the cause back until c is pressed, or the same failure was saved twice",
    )


def status() -> int:
    """Where the learner stands, and the next step."""
    data = progress.read()
    states = {p: progress.state(p, data) for p in road()}
    solved = sum(state == State.PASSES for state, _ in states.values())
    print(f"{bar(solved, len(states))}  {solved} of {len(states)} problems pass\n")
    for problem, (state, note) in states.items():
        print(_row(problem, state, note, columns()))
    following = next((p for p in states if states[p][0] != State.PASSES), None)
    print()
    for said in filter(None, (plan.line(time.time()), portion.line(time.time()))):
        print(f"{said}\n")
    if following is None:
        print(_DONE)
        return 0
    readme = following.readme
    print(f"Next: {following.label} ({readme.difficulty.lower()}, about {readme.minutes} minutes)")
    print(f"  read   {shown(following.readme_file)}")
    print(f"  write  {shown(following.solution)}")
    print(f"  check  {gpt2(f'check {following.key}')}")
    return 0


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", nargs="?", help="only this one, with all its parts")


def show_list(args: argparse.Namespace) -> int:
    """All problems, or one, with the parts of those that are begun."""
    data = progress.read()
    for problem in [find(args.problem)] if args.problem else problems():
        state, note = progress.state(problem, data)
        print(_row(problem, state, note, columns()))
        if state == State.IN_PROGRESS or args.problem:
            for name, part in progress.part_states(problem, data).items():
                print(f"        {_paint(_MARK[part], part)} {name}: {part}")
    return 0


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    add_problem(parser)
    parser.add_argument(
        "--mine", action="store_true", help="take earlier parts from your own solutions"
    )
    parser.add_argument(
        "--all", action="store_true", help="show every failing check, sorted by cause"
    )


def check(args: argparse.Namespace) -> int:
    """Run a problem's checks on the learner's file."""
    problem = find(args.problem) if args.problem else work.first_unsolved()
    if problem is None:
        print(f"{_DONE} {gpt2('check NN')} checks one of them again.")
        return 0
    import torch

    from common import internals
    from common.judging.loading import learners_frames
    from common.judging.records import Request
    from common.judging.report import report
    from common.judging.runner import run

    internals.put_off_the_compiler()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # tensors this small are slower on two
    earlier = "learners" if args.mine else "references"
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    request = Request(problem.name, problem.solution, earlier=earlier, interactive=interactive)
    try:
        verdict = run(replace(request, by_cause=args.all))
    except KeyboardInterrupt as stop:
        if frames := learners_frames(stop.__traceback__):
            last = frames[-1]
            print(f"\nIt was at {shown(Path(last.filename))}, line {last.lineno}, in {last.name}.")
        raise
    progress.record(verdict)
    for number, line in enumerate(report(verdict, width=min(columns(), 100))):
        good = number == 1 and verdict.passes
        print(coloured(line, "32" if good else "31" if line.startswith("FAILED") else ""))
    return 0 if verdict.passes else 1


def add_hint_arguments(parser: argparse.ArgumentParser) -> None:
    add_problem(parser)
    parser.add_argument(
        "--again", action="store_true", help="show the hints opened so far, and no new one"
    )


def hint(args: argparse.Namespace) -> int:
    """Open one more hint."""
    problem = find(args.problem) if args.problem else work.first_unsolved()
    if problem is None:
        print(f"{_DONE} No hint is needed.")
        return 0
    if args.again:
        opened = work.open_hints(problem)
        if not opened:
            print(f"No hint of {problem.key} is open yet: {gpt2(f'hint {problem.key}')}")
        for each in problem.readme.hints[:opened]:
            _print_hint(problem, each)
        return 0
    opened_now, left = work.next_hint(problem)
    _print_hint(problem, opened_now)
    if left:
        print(f"{left} more hint{'s' * (left > 1)}: {gpt2(f'hint {problem.key}')}")
    else:
        print(f"That was the last hint. The reference: {gpt2(f'diff {problem.key} --spoil')}")
    return 0


def add_reset_arguments(parser: argparse.ArgumentParser) -> None:
    add_problem(parser, optional=False)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def reset(args: argparse.Namespace) -> int:
    """Put the skeleton back, after keeping what is there."""
    problem = find(args.problem)
    if not problem.solution.exists():
        work.write_atomically(problem.solution, problem.skeleton)
        print(f"{shown(problem.solution)} was missing; the skeleton is there again.")
        return 0
    if progress.untouched(problem):
        print(f"{shown(problem.solution)} is the skeleton already.")
        return 0
    if not args.yes and not _confirmed(
        f"Replace {shown(problem.solution)} by the skeleton? A backup is kept. [y/N] "
    ):
        print("Nothing was changed.")
        return 1
    kept = shown(work.restart(problem))
    print(f"Reset. Your file is kept as {kept}; {gpt2(f'undo {problem.key}')} brings it back.")
    return 0


def add_undo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", nargs="?", help="undo the last reset of this one")


def undo(args: argparse.Namespace) -> int:
    """Bring back the file that the last reset replaced."""
    problem, kept = work.undo(find(args.problem) if args.problem else None)
    if kept:
        print(f"What was there now is kept as {shown(kept)}.")
    print(f"{shown(problem.solution)} is back as it was before the reset.")
    return 0


def bar(done: int, total: int, width: int = 18) -> str:
    """A progress bar in plain characters."""
    full = round(width * done / max(total, 1))
    return "[" + "#" * full + "-" * (width - full) + "]"


def rows(width: int) -> list[str]:
    """All problems, a line each."""
    data = progress.read()
    return [_row(p, *progress.state(p, data), width) for p in problems()]


def task_of(problem: Problem) -> str:
    """The README as a screen shows it: its hints and answers closed."""
    return re.sub(r"<details>.*?</details>", "", problem.readme.text, flags=re.S)


def painted_diff(line: str) -> str:
    """A line of a diff in its colour."""
    return coloured(line, {"+": "32", "-": "31", "@": "36"}.get(line[:1], ""))


def coloured(text: str, code: str) -> str:
    """The text in that colour, where there is a terminal that wants colours."""
    wanted = code and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{text}\x1b[0m" if wanted else text


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "this asks before it replaces a file, and there is no terminal to answer in: add --yes"
        )
    return input(question).strip().lower() in ("y", "yes")


def _print_hint(problem: Problem, hint: Folded) -> None:
    print(f"{problem.label} · {hint.title}\n")
    print("\n".join([*plain(hint.text, min(columns(), 80)), ""]))


def columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def _row(problem: Problem, state: State, note: str, width: int) -> str:
    """One problem; what it asks for gives way where the width is short, and how far it is takes a line of its own."""
    effort = f"{problem.readme.difficulty}, {problem.readme.minutes} min"
    room = max(min(38, width - 17), 10)
    label = problem.label
    label = label if len(label) <= room else label[: room - 1] + "…"
    row = f"  {_paint(_MARK[state], state)} {label:<{room}} {_paint(f'{state:<11}', state)}"
    if room + 17 + len(note or effort) <= width:
        return f"{row} {note or effort}"
    return f"{row.rstrip()}\n      {note}" if note else row.rstrip()


def _paint(text: str, state: State) -> str:
    return coloured(text, _COLOUR[state])
