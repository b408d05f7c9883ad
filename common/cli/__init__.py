"""The command gpt2. Each subcommand is a module, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from common.errors import CourseError

# name: (module in common.cli and its function, what it does in one line)
COMMANDS = {
    "list": ("learn.show_list", "all problems, and where each function of yours stands"),
    "check": ("learn.check", "test your solution of a problem (default: the first unsolved one)"),
    "watch": ("watch.run", "check a problem at every save, with single keys for the rest"),
    "hint": ("learn.hint", "the next hint for a problem, one more each time"),
    "diff": ("learn.diff", "your solution beside the reference, once yours passes"),
    "interview": ("interview.run", "one problem, a clock, and a score at the end"),
    "train": ("train.run", "train a GPT-2 on a text, yours with --mine"),
    "generate": ("generate.run", "let the trained model write"),
    "export": ("export.run", "write the trained model as a folder that transformers loads"),
    "reset": ("learn.reset", "start a problem over; your file is kept as a backup"),
    "undo": ("learn.undo", "bring back what the last reset took"),
    "grade": ("grade.run", "grade a class: submissions in, reports out (GRADING.md)"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 checks failed or the work cannot be done, 2 wrong usage, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a pipe or an old console may not speak UTF-8
            stream.reconfigure(errors="replace")
    try:
        return _dispatch(arguments)
    except CourseError as error:
        print(f"gpt2: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `gpt2 list | head`
        sys.stderr.close()
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        return importlib.import_module("common.cli.learn").status()
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help", "help"):
        print(overview())
        return 0
    if name not in COMMANDS:
        from difflib import get_close_matches

        close = get_close_matches(name, COMMANDS, n=1)
        meant = f"; did you mean `gpt2 {close[0]}`?" if close else ""
        print(
            f"gpt2: there is no command {name!r}{meant} (gpt2 --help lists them)", file=sys.stderr
        )
        return 2
    target, summary = COMMANDS[name]
    module_name, function = target.split(".")
    module = importlib.import_module(f"common.cli.{module_name}")
    parser = argparse.ArgumentParser(
        prog=f"gpt2 {name}", description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )
    add = getattr(module, f"add_{name}_arguments", None) or getattr(module, "add_arguments", None)
    if add:
        add(parser)
    return getattr(module, function)(parser.parse_args(rest))


def overview() -> str:
    """The commands, a line each."""
    lines = [
        "usage: gpt2 [command] [options]",
        "",
        "Without a command: where you stand and what is next.",
        "",
    ]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join([*lines, "", "gpt2 COMMAND --help says more."])
