"""The command gpt2. Each subcommand is a module, imported only when it is called."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType

from common.errors import CourseError, UsageError
from common.shell import gpt2

# What a disk or its owner refuses; the way out is not ours to name.
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

# name: (module in common.cli and its function, what it does in one line)
COMMANDS = {
    "list": ("learn.show_list", "all problems, and where each function of yours stands"),
    "check": ("learn.check", "test your solution of a problem (default: the first unsolved one)"),
    "watch": ("watch.run", "check a problem at every save, with single keys for the rest"),
    "web": ("web.run", "the same on a page in your browser, with the task beside it"),
    "demo": (
        "demo.run",
        "two minutes: what you will have built learns a story, and writes for you",
    ),
    "hint": ("learn.hint", "the next hint for a problem, one more each time"),
    "see": (
        "see.run",
        "a problem's idea in a picture, drawn by your own code; or a trained model's inside",
    ),
    "diff": ("answer.diff", "your solution beside the reference, once yours passes"),
    "explain": ("answer.explain", "why the reference is written as it is, once yours passes"),
    "interview": ("interview.run", "one problem, a clock, and a score at the end"),
    "hunt": ("hunt.run", "find the bugs that were planted in a file, with a clock"),
    "review": ("review.run", "what you have solved, before it is forgotten: 15 minutes a day"),
    "progress": ("progress.run", "take what you have solved and reviewed to another machine"),
    "train": ("train.run", "train a GPT-2 on a text, yours with --mine"),
    "generate": ("generate.run", "let the trained model write"),
    "export": ("export.run", "write the trained model as a folder that transformers loads"),
    "reset": ("learn.reset", "start a problem over; your file is kept as a backup"),
    "undo": ("learn.undo", "bring back what a reset took"),
    "grade": ("grade.run", "grade a class: submissions in, reports out (GRADING.md)"),
    "author": ("author.run", "add a problem, or see what one lacks (CONTRIBUTING.md)"),
    "completion": ("completion.run", "what makes your shell complete these commands"),
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
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # `gpt2 list | head`
            sys.stderr.close()
            return 0
        if error.errno not in _REFUSED:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"gpt2: {place}{error.strerror}; nothing was changed there", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["--course"]:
        if len(arguments) < 2:
            raise UsageError("--course needs the folder that holds problems/ and solutions/")
        os.environ["GPT2_COURSE"] = str(Path(arguments[1]).expanduser().resolve())
        arguments = arguments[2:]
    if not arguments:
        return importlib.import_module("common.cli.learn").status()
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help", "help"):
        print(overview())
        return 0
    if name in ("-V", "--version", "version"):
        print(version())
        return 0
    if name not in COMMANDS:
        from difflib import get_close_matches

        close = get_close_matches(name, COMMANDS, n=1)
        meant = f"; did you mean `{gpt2(close[0])}`?" if close else ""
        raise UsageError(f"there is no command {name!r}{meant} ({gpt2('--help')} lists them)")
    module = _module(name)
    parser = argparse.ArgumentParser(prog=f"gpt2 {name}", allow_abbrev=False)
    fill_parser(parser, name, module)
    return getattr(module, COMMANDS[name][0].split(".")[1])(parser.parse_args(rest))


def fill_parser(
    parser: argparse.ArgumentParser, name: str, module: ModuleType | None = None
) -> None:
    """Give a parser the arguments of a command."""
    module = module or _module(name)
    summary = COMMANDS[name][1]
    parser.description = f"{summary[0].upper()}{summary[1:]}."
    add = getattr(module, f"add_{name}_arguments", None) or getattr(module, "add_arguments", None)
    if add:
        add(parser)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"common.cli.{COMMANDS[name][0].split('.')[0]}")


def version() -> str:
    """The course's version, and those of what it runs on."""
    from importlib import metadata

    def of(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "not installed"

    python = ".".join(map(str, sys.version_info[:3]))
    return f"gpt2 {of('write-gpt2')} (Python {python}, torch {of('torch')}, {sys.platform})"


def overview() -> str:
    """The commands, a line each."""
    lines = [
        "usage: gpt2 [--course DIR] [command] [options]",
        "",
        "Without a command: where you stand and what is next.",
        "",
    ]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", "gpt2 COMMAND --help says more; gpt2 --version says what runs here."]
    return "\n".join(
        [*lines, "--course DIR adds the problems of a folder of your own (GPT2_COURSE does too)."]
    )
