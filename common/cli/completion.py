"""gpt2 completion: a script for bash, zsh, fish or PowerShell, made from the commands themselves."""

from __future__ import annotations

import argparse
from typing import Any

from common import cli
from common.course.catalogue import problems
from common.errors import CourseError

SHELLS = ("bash", "zsh", "fish", "powershell")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)
    parser.epilog = (
        'bash: eval "$(gpt2 completion bash)" in ~/.bashrc. zsh: gpt2 completion zsh > a file _gpt2 in your '
        "fpath. fish: gpt2 completion fish > ~/.config/fish/completions/gpt2.fish."
    )


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ImportError:
        raise CourseError("completion needs shtab, which the default install brings") from None
    if args.shell not in shtab.SUPPORTED_SHELLS:
        known = ", ".join(s for s in SHELLS if s in shtab.SUPPORTED_SHELLS)
        raise CourseError(f"this version of shtab knows {known} only, not {args.shell}")
    print(shtab.complete(parser(), shell=args.shell))
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands in one parser."""
    top = argparse.ArgumentParser(prog="gpt2")
    commands = top.add_subparsers(dest="command", parser_class=_WithNumbers)
    for name, (_, summary) in cli.COMMANDS.items():
        cli.fill_parser(commands.add_parser(name, help=summary), name)
    return top


class _WithNumbers(argparse.ArgumentParser):
    """A parser that offers the problems' numbers where a problem is named."""

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        if names == ("problem",):
            options["choices"] = [p.key for p in problems()]
        return super().add_argument(*names, **options)
