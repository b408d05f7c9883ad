"""gpt2 progress: what is remembered, in one file for another machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common.course.catalogue import road
from common.errors import UsageError
from common.learner import progress
from common.learner.progress import State
from common.practice import plan
from common.review import deck, transfer
from common.review.cards import cards
from common.shell import gpt2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["export", "import"])
    parser.add_argument("file", nargs="?", metavar="FILE", help="where it is written, or read")


def run(args: argparse.Namespace) -> int:
    """Write it, merge it, or say how much there is."""
    if not args.action:
        print("\n".join(_summary()))
        return 0
    if not args.file:
        raise UsageError(f"which file? `{gpt2(f'progress {args.action} FILE')}`")
    file = Path(args.file).expanduser()
    if args.action == "export":
        plan.current(time.time())  # what was done of it is noted
        transfer.export(file)
        print(f"{file} holds your progress, reviews and plan; your solution.py files stay in git.")
        print(f"On the other machine: {gpt2(f'progress import {file.name}')}")
        return 0
    print("\n".join(transfer.merge(file)))
    return 0


def _summary() -> list[str]:
    data, kept = progress.read(), deck.read()
    passing = sum(progress.state(p, data)[0] == State.PASSES for p in road())
    graded = len(kept.log)
    return [
        f"{passing} of {len(road())} problems pass; {len(cards())} cards, graded {graded} times.",
        f"{gpt2('progress export FILE')} writes it into one file, "
        f"{gpt2('progress import FILE')} merges one.",
    ]
