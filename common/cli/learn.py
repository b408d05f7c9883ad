"""The learner's commands. None of them imports torch; `check` hands over to pytest, which does."""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

from common import progress
from common.catalogue import ROOT, Problem, find, problems, shown
from common.cli.markdown import plain
from common.errors import CourseError, UsageError
from common.progress import State

_MARK = {State.PASSES: "✓", State.IN_PROGRESS: "…", State.NOT_STARTED: "·"}
_COLOUR = {State.PASSES: "32", State.IN_PROGRESS: "33", State.NOT_STARTED: "2"}


def status() -> int:
    """Where the learner stands, and the next step."""
    data = progress.read()
    states = {p: progress.state(p, data) for p in problems()}
    road = [p for p in states if not p.is_interview]
    solved = sum(states[p][0] == State.PASSES for p in road)
    print(f"{bar(solved, len(road))}  {solved} of {len(road)} problems pass\n")
    for problem in road:
        print(_row(problem, *states[problem]))
    following = next((p for p in road if states[p][0] != State.PASSES), None)
    print()
    if following is None:
        print("Every problem passes: the GPT-2 you have is your own.")
        return 0
    print(
        f"Next: {following.key} {following.title} ({following.difficulty.lower()}, about {following.minutes} minutes)"
    )
    print(f"  read   {shown(following.readme)}")
    print(f"  write  {shown(following.solution)}")
    print(f"  check  uv run gpt2 check {following.key}")
    return 0


def show_list(_: argparse.Namespace) -> int:
    """All problems with their parts."""
    data = progress.read()
    for problem in problems():
        state, note = progress.state(problem, data)
        print(_row(problem, state, note, f"{problem.difficulty}, {problem.minutes} min"))
        if state == State.IN_PROGRESS:
            for name, part in progress.part_states(problem, data).items():
                print(f"        {_paint(_MARK[part], part)} {name}: {part}")
    return 0


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problem", nargs="?", help="number or name; default: the first unsolved one"
    )


def check(args: argparse.Namespace) -> int:
    """Run a problem's tests on the learner's file."""
    problem = find(args.problem) if args.problem else first_unsolved()
    if problem is None:
        print("Every problem passes. `gpt2 check NN` checks one of them again.")
        return 0
    if not problem.tests.is_file():
        raise CourseError(
            f"{shown(problem.tests)} is missing: `git checkout {shown(problem.tests)}` brings it back"
        )
    import pytest

    code = pytest.main([str(problem.folder), f"--rootdir={ROOT}", "-p", "no:warnings"])
    return {0: 0, 1: 1, 130: 130}.get(int(code), 2)


def add_hint_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problem", nargs="?", help="number or name; default: the first unsolved one"
    )
    parser.add_argument(
        "--again", action="store_true", help="show the hints opened so far, and no new one"
    )


def hint(args: argparse.Namespace) -> int:
    """Open one more hint."""
    problem = find(args.problem) if args.problem else first_unsolved()
    if problem is None:
        print("Every problem passes: no hint is needed.")
        return 0
    if args.again:
        opened = progress.read().get("hints", {}).get(problem.name, 0)
        if not opened:
            print(f"No hint of {problem.key} is open yet: uv run gpt2 hint {problem.key}")
        for title, text in problem.hints[:opened]:
            _print_hint(problem, title, text)
        return 0
    title, text, left = next_hint(problem)
    _print_hint(problem, title, text)
    if left:
        print(f"{left} more hint{'s' * (left > 1)}: uv run gpt2 hint {problem.key}")
    else:
        print(f"That was the last hint. The reference is in {shown(problem.reference)}.")
    return 0


def add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", help="number or name")
    parser.add_argument(
        "--spoil", action="store_true", help="show the reference before yours passes"
    )


def diff(args: argparse.Namespace) -> int:
    """The learner's file against the reference."""
    problem = find(args.problem)
    state, _ = progress.state(problem, progress.read())
    if state != State.PASSES and not args.spoil:
        raise CourseError(
            f"the reference of {problem.key} is shown once yours passes (uv run gpt2 check {problem.key}); "
            "--spoil shows it now"
        )
    print("\n".join(diff_lines(problem)))
    return 0


def add_reset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", help="number or name")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def reset(args: argparse.Namespace) -> int:
    """Put the skeleton back, after keeping what is there."""
    problem = find(args.problem)
    if progress.untouched(problem) and problem.solution.is_file():
        print(f"{shown(problem.solution)} is the skeleton already.")
        return 0
    if not args.yes and not _confirmed(
        f"Replace {shown(problem.solution)} by the skeleton? A backup is kept. [y/N] "
    ):
        print("Nothing was changed.")
        return 1
    print(
        f"Reset. Your file is kept as {shown(restart(problem))}; uv run gpt2 undo brings it back."
    )
    return 0


def undo(_: argparse.Namespace) -> int:
    """Bring back the file that the last reset replaced."""
    resets = progress.read().get("resets", [])
    if not resets:
        raise CourseError("there is no reset to undo")
    last = resets[-1]
    problem, kept = find(last["problem"]), progress.FOLDER / last["backup"]
    if not kept.is_file():
        progress.update({"resets": resets[:-1]})
        raise CourseError(f"the backup {kept} is gone; that reset cannot be undone")
    if not progress.untouched(problem):
        print(f"What was there now is kept as {shown(_keep(problem))}.")
    progress.write_atomically(
        problem.solution, kept.read_text(encoding="utf-8", errors="surrogateescape")
    )
    progress.update({"resets": resets[:-1]})
    print(f"{shown(problem.solution)} is back as it was before the reset.")
    return 0


def restart(problem: Problem) -> Path:
    """Keep the learner's file, put the skeleton in its place, and return where the old one is."""
    backup = _keep(problem)
    resets = progress.read().get("resets", [])
    progress.update(
        {
            "resets": [
                *resets,
                {"problem": problem.name, "backup": str(backup.relative_to(progress.FOLDER))},
            ]
        }
    )
    progress.write_atomically(problem.solution, problem.skeleton.read_text(encoding="utf-8"))
    return backup


def first_unsolved() -> Problem | None:
    """The first problem of the road that does not pass."""
    data = progress.read()
    road = (p for p in problems() if not p.is_interview)
    return next((p for p in road if progress.state(p, data)[0] != State.PASSES), None)


def bar(done: int, total: int, width: int = 24) -> str:
    """A progress bar in plain characters."""
    full = round(width * done / max(total, 1))
    return "[" + "#" * full + "-" * (width - full) + "]"


def next_hint(problem: Problem) -> tuple[str, str, int]:
    """Open one more hint: its title, its text, and how many are left. The last one stays."""
    hints = problem.hints
    if not hints:
        raise CourseError(f"{shown(problem.readme)} has no hints")
    opened = min(progress.read().get("hints", {}).get(problem.name, 0), len(hints))
    number = min(opened, len(hints) - 1)
    if opened < len(hints):
        progress.update({"hints": {problem.name: opened + 1}})
    title, text = hints[number]
    return title, text, len(hints) - number - 1


def diff_lines(problem: Problem) -> list[str]:
    """The learner's file against the reference, as a unified diff."""
    mine, reference = _lines(problem.solution), _lines(problem.reference)
    names = shown(problem.solution), shown(problem.reference)
    lines = [*difflib.unified_diff(mine, reference, *names, lineterm="", n=3)]
    return [
        _coloured(line, {"+": "32", "-": "31", "@": "36"}.get(line[:1], "")) for line in lines
    ] or ["Yours and the reference are the same."]


def rows() -> list[str]:
    """All problems, a line each."""
    data = progress.read()
    return [
        _row(p, *progress.state(p, data), f"{p.difficulty}, {p.minutes} min") for p in problems()
    ]


def _keep(problem: Problem) -> Path:
    folder = progress.FOLDER / "backups" / problem.name
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")
    return Path(shutil.copyfile(problem.solution, folder / f"{stamp}.py"))


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "this asks before it replaces a file, and there is no terminal to answer in: add --yes"
        )
    return input(question).strip().lower() in ("y", "yes")


def _print_hint(problem: Problem, title: str, text: str) -> None:
    print(f"{problem.key} {problem.title} · {title}\n")
    print("\n".join([*plain(text), ""]))


def _row(problem: Problem, state: State, note: str, effort: str = "") -> str:
    name = f"{problem.key} {problem.title}"
    text = f"  {_paint(_MARK[state], state)} {name:<38} {_paint(f'{state:<12}', state)} {effort or note}"
    return (text + (f"  {note}" if effort and note else "")).rstrip()


def _paint(text: str, state: State) -> str:
    return _coloured(text, _COLOUR[state])


def _coloured(text: str, code: str) -> str:
    wanted = code and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{text}\x1b[0m" if wanted else text


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CourseError(f"{shown(path)} cannot be read: {error.strerror}") from None
