"""gpt2 demo: what somebody will have built at the end learns a story while they watch, and then writes for them."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.cli import generate, train
from common.cli.train import Plan
from common.config import GPT2Config
from common.course.catalogue import find
from common.errors import UsageError
from common.judging.report import wrapped
from common.shell import gpt2
from common.train.settings import Settings

if TYPE_CHECKING:
    from common.train.loop import Trainer

# Half as wide as that of `gpt2 train`, with windows half as long: about two minutes on two cores.
_CONFIG = GPT2Config(n_positions=64, n_embd=128, n_layer=4, n_head=4)
_SETTINGS = Settings(
    context=64, batch_size=8, epochs=9, lr=2e-3, eval_every=33, sample_tokens=24, prompt="The tide"
)
_PUBLISHED = 124_439_808  # weights of the smallest one
_TOKENS = 50  # that it writes at a time, so that prompt and answer fit in its context
_UNASKED = ("The tide", "My father")  # what it continues where nobody can type


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=float, default=100, metavar="S", help="train for at most so long (default 100)"
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train in a folder that is removed again, then write."""
    if not args.seconds > 0:
        raise UsageError(f"--seconds must be above 0, not {args.seconds:g}")
    _introduce()
    import torch

    from common.train.distributed import World
    from common.train.memory import keep_freed_memory
    from common.train.parts import FOUNDATION, parts

    with tempfile.TemporaryDirectory(prefix="gpt2-demo-", ignore_cleanup_errors=True) as folder:
        keep_freed_memory()
        plan = Plan(_SETTINGS, _CONFIG, Path(folder), None)
        trainer = train.trainer_of(plan, torch.device("cpu"), World())
        if not _trained(trainer, args.seconds):
            print("stopped; nothing is left of it")
            return 130
        _show(trainer)
        try:
            _write(trainer.model.eval(), parts(mine=False))
        except (KeyboardInterrupt, EOFError):
            print()
    _conclude(FOUNDATION)
    return 0


def _introduce() -> None:
    _say(
        "This is what you will have built: a GPT-2. It has never read a word; now it reads a short "
        "story, over and over, and you watch it learn. Then you can ask it to write. Two minutes."
    )


def _trained(trainer: Trainer, seconds: float) -> bool:
    """Train until the end or until time is up; whether nobody has stopped it before."""
    from common.cli.train_view import View
    from common.train.loop import Listener

    view, end = View(trainer, within=seconds), time.monotonic() + seconds
    late = False

    def on_step(step: int, loss: float, rate: float) -> None:
        nonlocal late
        view.on_step(step, loss, rate)
        if time.monotonic() > end and not trainer.stopped:
            late = trainer.stopped = True

    trainer.listener = Listener(on_step, view.on_record, view.say)
    view.begin()
    try:
        trainer.train()
    finally:
        view.end()
    if late:
        trainer.look()  # the curve goes to where it came
        _say(
            f"{seconds:g} seconds are over: it has done {trainer.state.step} of {trainer.total_steps} "
            "steps. With --seconds 300 it learns for longer."
        )
    return late or not trainer.stopped


def _show(trainer: Trainer) -> None:
    """The curve, and what it wrote first and writes now."""
    from common.cli.train_view import on_a_line
    from common.train import looking
    from common.train.plot import chart

    print()
    print("\n".join(chart(trainer.history)))
    now = looking.sample(trainer.model, trainer.settings, trainer.parts, trainer.device)
    before = trainer.history[0]["sample"]
    print()
    _say(f"At step 0 it wrote:  {on_a_line(before)}")
    _say(f"Now it writes:  {on_a_line(now)}")
    size = sum(p.numel() for p in trainer.model.parameters())
    _say(
        "It knows this one story, and much of that by heart. The published GPT-2 is the same code "
        f"with {_PUBLISHED / size:.0f} times as many weights, and has read 8 million web pages."
    )


def _write(model: Any, parts: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(_SETTINGS.seed)

    def go_on(prompt: str) -> None:
        args = argparse.Namespace(
            prompt=prompt, tokens=_TOKENS, temperature=0.7, top_k=40, top_p=None, mine=False
        )
        generate.write(model, args, parts, generator)
        print("\n")

    print()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        for prompt in _UNASKED:
            go_on(prompt)
        return
    _say("Give it a beginning and press Enter, and it goes on; q leaves.")
    while (prompt := input("> ").strip()) != "q":
        go_on(prompt or _UNASKED[0])


def _conclude(numbers: tuple[int, ...]) -> None:
    made = ", ".join(find(n).label for n in numbers)
    _say(f"It was made of the references of these problems, and will be of yours: {made}.")
    _say("Nothing of it was kept. What to do next:")
    following = {
        gpt2(): "where you stand: problem 01 is the first",
        gpt2("watch"): "checks what you write at every save",
        gpt2("train"): "a larger model, and keeps it",
    }
    for command, does in following.items():
        print(f"  {command:<{max(map(len, following))}}  {does}")


def _say(text: str) -> None:
    print("\n".join(wrapped(text, 80)), flush=True)
