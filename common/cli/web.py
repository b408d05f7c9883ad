"""gpt2 web: the course on a page."""

from __future__ import annotations

import argparse
import importlib.util

from common.cli import learn
from common.course.catalogue import find
from common.errors import CourseError, UsageError
from common.learner import work

_PACKAGES = ("starlette", "uvicorn", "markdown_it", "jinja2", "watchfiles")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    learn.add_problem(parser)
    parser.add_argument(
        "--port", type=int, metavar="N", help="listen there (default: 8017, or the next free one)"
    )
    parser.add_argument("--no-open", action="store_true", help="print the address, open no browser")
    learn.add_watching(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    start = find(args.problem) if args.problem else work.first_unsolved()
    if not args.limit > 0:
        raise UsageError(f"--limit must be above 0 seconds, not {args.limit:g}")
    if missing := [name for name in _PACKAGES if not importlib.util.find_spec(name)]:
        named = ", ".join(missing).replace("_", "-")
        raise CourseError(
            f"`gpt2 web` needs the package{'s' * (len(missing) > 1)} {named}: run `uv sync --group web` once"
        )
    from common.web.serve import serve

    try:
        serve(start, port=args.port, limit=args.limit, think=args.think, browser=not args.no_open)
    except KeyboardInterrupt:
        print()
    return 0
