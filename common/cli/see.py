"""gpt2 see: a problem's idea, drawn by the learner's own code."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
import webbrowser
from pathlib import Path

from common.cli.learn import add_problem
from common.course.catalogue import Problem, find
from common.errors import UsageError
from common.files import write_atomically
from common.learner import work
from common.pictures import ideas
from common.pictures.panels import Control
from common.pictures.picture import Picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_problem(parser)
    parser.add_argument("sentence", nargs="?", help="the text that it is drawn with")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="change something else; `--set list` tells what there is",
    )  # fmt: skip
    parser.add_argument("--png", type=Path, metavar="FILE", help="write it into a file")
    parser.add_argument("--dark", action="store_true", help="on a dark ground")
    parser.add_argument("--text", action="store_true", help="draw it in the terminal")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="of a model: one page that holds all of it"
    )
    parser.add_argument(
        "--from", dest="source", metavar="PLACE",
        help="look into a trained model instead: last, a run, a folder with weights, or a hub name such as gpt2",
    )  # fmt: skip
    parser.add_argument("--prompt", help="what the model reads (default: Every effort moves you)")
    side = parser.add_mutually_exclusive_group()
    side.add_argument(
        "--mine", action="store_true", help="of a model: load and compute with your own solutions"
    )
    side.add_argument("--reference", action="store_true", help="the reference's code, not yours")


def run(args: argparse.Namespace) -> int:
    """Draw, and show it where it can be seen best."""
    for file in filter(None, (args.png, args.html)):
        if not file.parent.is_dir():
            raise UsageError(f"{file} cannot be written: there is no folder {file.parent}")
    if args.source or args.prompt is not None:
        return _model(args)
    if args.html or args.mine:
        raise UsageError("--html and --mine are for a trained model: add --from last")
    problem = find(args.problem) if args.problem else work.first_unsolved()
    if problem is None:
        raise UsageError("every problem passes: name the one to be seen")
    if args.set == ["list"]:
        return _list(problem)
    given = dict(_pair(text) for text in args.set)
    if args.sentence is not None:
        given[_first_text(problem)] = args.sentence
    try:
        picture = ideas.picture(problem, given, owner="reference" if args.reference else "yours")
    finally:
        ideas.close()
    return _show(picture, args)


def _show(picture: Picture, args: argparse.Namespace) -> int:
    theme = "dark" if args.dark else "light"
    if args.png:
        picture.png(args.png, theme)
        print(f"{args.png}: {picture.title}. {picture.note}")
    elif args.text or not _shown(picture, theme):
        print(picture.text(min(shutil.get_terminal_size((80, 24)).columns, 100)))
    return 0


def _model(args: argparse.Namespace) -> int:
    """Look into a trained model, chosen as `gpt2 generate` chooses it."""
    from common.cli.generate import OWN, load_model, place_of
    from common.text.tokenizer import gpt2_tokenizer
    from common.train.parts import parts

    if args.problem is not None:
        raise UsageError("name a problem, or a model with --from, not both")
    place = place_of(None if args.source in (None, "last") else args.source)
    model = load_model(place, parts(mine=args.mine, numbers=OWN))
    from common.pictures import inside, page

    tokenizer = gpt2_tokenizer()
    prompt = "Every effort moves you" if args.prompt is None else args.prompt
    ids = tokenizer.encode(prompt, allowed_special="all") or [tokenizer.eot_token]

    def decode(number: int) -> str:
        known = number < tokenizer.n_vocab
        return (
            tokenizer.decode_single_token_bytes(number).decode(errors="replace") if known else "?"
        )

    seen = inside.look(model, ids, decode)
    config = model.config
    if args.html:
        write_atomically(args.html, page.page(seen, f"Inside {_name(place)}"))
        print(f"{args.html}: {config.n_layer} layers of {config.n_head} heads, one file")
        return 0
    chosen = dict(_pair(text) for text in args.set)
    limits = {"layer": config.n_layer, "head": config.n_head}
    if unknown := [name for name in chosen if name not in limits]:
        raise UsageError(f"a model has layer and head to be set, not {unknown[0]}")
    places = [
        Control(name, name, "number", "0", low=0, high=count - 1, whole=True).value(
            chosen.get(name, "0")
        )
        for name, count in limits.items()
    ]
    return _show(inside.overview(seen, *map(int, places)), args)


def _shown(picture: Picture, theme: str) -> bool:
    """Open it in the system's viewer; False where there is none, or nothing to draw with."""
    desktop = (
        sys.platform in ("win32", "darwin")
        or "DISPLAY" in os.environ
        or "WAYLAND_DISPLAY" in os.environ
    )
    if not (desktop and sys.stdout.isatty() and importlib.util.find_spec("matplotlib")):
        return False
    # The viewer reads it after this command has ended, so it stays; the next one takes its place.
    file = Path(tempfile.gettempdir(), "write-gpt2-picture.png")
    picture.png(file, theme)
    if not webbrowser.open(file.as_uri()):
        return False
    print(f"{picture.title}: {file}")
    return True


def _name(place: str) -> str:
    """What a model is called: a checkpoint by its run."""
    path = Path(place)
    return path.parent.name if path.name.startswith("step-") else path.name


def _list(problem: Problem) -> int:
    for control in ideas.controls(problem):
        span = ", ".join(control.choices) if control.choices else ""
        if control.low is not None:
            span = f"{control.low:g} to {control.high:g}"
        print(
            f"{control.name:<12} {control.label} (default {control.default!r}{'; ' * bool(span)}{span})"
        )
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: it takes a name and a value, as in --set temperature=0.5")
    return name, value


def _first_text(problem: Problem) -> str:
    for control in ideas.controls(problem):
        if control.kind == "text":
            return control.name
    raise UsageError("this picture takes no sentence; `--set list` tells what changes it")
