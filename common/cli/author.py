"""gpt2 author: make a problem's folders, make its skeleton, see what it lacks."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from common.course.catalogue import Problem, find, problems, shown
from common.errors import UsageError
from common.files import write_atomically
from common.shell import gpt2

STEPS = {
    "new": "make the folders of a problem: gpt2 author new 19-slug",
    "check": "say in one report what a problem lacks or gets wrong",
    "skeleton": "write problems/NN/solution.py anew from the reference (default: all)",
    "pictures": "draw problems/NN/picture.svg anew from the reference (default: all that have one)",
    "mutants": "change the reference in small ways and count what goes unnoticed",
    "reports": "write what a learner would read for each of these changes, to be skimmed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(f"  {name:<9} {what}" for name, what in STEPS.items())
    parser.add_argument("step", choices=[*STEPS], help="see below")
    parser.add_argument(
        "names", nargs="*", metavar="problem", help="number or name; for new: 19-slug"
    )
    parser.add_argument(
        "--quick", action="store_true", help="check: leave the mutants out, which take minutes"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("reports.txt"), metavar="FILE",
        help="reports: where they go (default: reports.txt)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do one step."""
    if args.step == "new":
        return _new(args.names)
    chosen = [find(name) for name in args.names]
    if args.step == "skeleton":
        return _skeletons(chosen or [*problems()])
    if args.step == "pictures":
        return _pictures(chosen or [p for p in problems() if p.picture.exists()])
    if not chosen:
        if args.step == "check":
            raise UsageError(f"name a problem: {gpt2('author check 19')}")
        chosen = [*problems()]
    import torch

    from common import internals

    internals.put_off_the_compiler()
    torch.set_num_threads(1)
    if args.step == "reports":
        return _reports(chosen, args.out)
    step = _mutants if args.step == "mutants" else lambda p: _check(p, quick=args.quick)
    return max([step(problem) for problem in chosen])


def _new(names: list[str]) -> int:
    from common.authoring.new import create

    if len(names) != 1:
        raise UsageError(f"give one name: {gpt2('author new 19-slug')}")
    problem = create(names[0])
    files = (problem.readme_file, *problem.tests, problem.reference, problem.mistakes)
    print("\n".join(f"  {shown(path)}" for path in files))
    print(f"Write them; {gpt2(f'author check {problem.key}')} says what is missing.")
    return 0


def _pictures(chosen: Iterable[Problem]) -> int:
    from common import internals
    from common.authoring import drawing

    internals.put_off_the_compiler()
    for problem in chosen:
        size = drawing.write(problem)
        print(f"{shown(problem.folder / drawing.FILE)}: {size:,} bytes")
    return 0


def _skeletons(chosen: list[Problem]) -> int:
    from common.learner import progress

    for problem in chosen:
        if problem.solution.is_file() and not progress.untouched(problem):
            begun = problem.solution.read_text(encoding="utf-8", errors="replace")
            if "NotImplementedError" not in begun or begun == problem.skeleton:
                print(f"{shown(problem.solution)} is somebody's work: left alone")
                continue
        write_atomically(problem.solution, problem.skeleton)
        print(shown(problem.solution))
    return 0


def _check(problem: Problem, *, quick: bool) -> int:
    from common.authoring import behaviour, mutants, rules

    print(f"{problem.label} · {shown(problem.folder)}", flush=True)
    said = rules.complaints(problem)
    if problem.solution.read_text(encoding="utf-8") != problem.skeleton:
        said.append(f"solution.py is not the skeleton: {gpt2(f'author skeleton {problem.key}')}")
    count = _complain(said) + _complain(behaviour.complaints(problem))
    found: list[behaviour.Judged] = []
    for judged in behaviour.judgements(problem):
        found.append(judged)
        count += _complain(judged.complaints)
    count += _complain(behaviour.table_trouble(problem, found))
    if not quick:
        score = mutants.score(problem)
        count += _complain(
            f"no check notices: {label} (add a check, or where none can tell them apart an entry in "
            "tests/equivalent_mutants.toml)"
            for label in score.unexplained
        )
        count += _complain(
            f"listed as equivalent, but no such survivor: {label}" for label in score.outdated
        )
        print(f"  {score.line}")
    silent = [j.mistake.name for j in found if not (j.named or j.trouble)]
    named = f"{sum(j.named for j in found)} of {len(found)} mistakes are named to a learner"
    print(f"  {named}{'; silent: ' * bool(silent)}{'; '.join(silent)}")
    right = len(behaviour.right_answers(problem))
    print(
        f"  {len(found)} known mistakes, {right} right answers; {count or 'no'} complaint{'s' * (count != 1)}"
    )
    return 1 if count else 0


def _complain(complaints: Iterable[str]) -> int:
    """Print complaints as they come; returns how many there were."""
    count = 0
    for line in complaints:
        print(f"  - {line}", flush=True)
        count += 1
    return count


def _mutants(problem: Problem) -> int:
    from common.authoring import mutants

    found = mutants.score(problem)
    print(found.line, flush=True)
    for label in found.unexplained:
        print(f"    {label}")
    for label in found.outdated:
        print(f"    listed as equivalent, but no such survivor: {label}")
    return 1 if found.unexplained else 0


def _reports(chosen: list[Problem], file: Path) -> int:
    from common.authoring.reviews import reviewed

    lines: list[str] = []
    for problem in chosen:
        found = [*reviewed(problem)]
        count = sum(len(each.changes) for each in found)
        print(f"{problem.name}: {count} changes, {len(found)} different reports", flush=True)
        lines.append(f"##### {problem.label}")
        for each in found:
            lines += ["", *(f"### {change}" for change in each.changes), "", *each.lines]
        lines.append("")
        write_atomically(file, "\n".join(lines))  # what is there can be read while the rest is made
    print(f"{file}: what is false goes into tests/false_reports.toml")
    return 0
