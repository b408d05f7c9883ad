"""gpt2 generate: a trained model writes, and you see it writing."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.catalogue import shown
from common.errors import CourseError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", default="Every effort moves you", help="what to continue")
    parser.add_argument(
        "--tokens", type=int, default=100, metavar="N", help="how many (default 100)"
    )
    parser.add_argument("--temperature", type=float, default=0.8, help="0 is greedy (default 0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K most likely only")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="draw from the smallest set that holds P"
    )
    parser.add_argument(
        "--lookup",
        type=int,
        default=0,
        metavar="N",
        help="guess up to N tokens ahead from earlier text and check them at once: sooner where it repeats",
    )
    parser.add_argument("--seed", type=int, help="the same text every time")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="PLACE",
        help="a run, a folder with weights, or a hub name such as gpt2 (default: the last run)",
    )
    parser.add_argument(
        "--mine", action="store_true", help="load, compute and draw with your own solutions"
    )


def run(args: argparse.Namespace) -> int:
    """Write a continuation to stdout."""
    _check(args)
    import torch

    from common.fast.decode import stream
    from common.tokenizer import gpt2_tokenizer
    from common.train.parts import FOUNDATION, LATER, parts

    chosen = parts(mine=args.mine, numbers=FOUNDATION + LATER)
    model = load_model(args.source, chosen)
    tokenizer = gpt2_tokenizer()
    ids = tokenizer.encode(args.prompt, allowed_special="all")
    if not ids:
        ids = [tokenizer.eot_token]
    prompt = torch.tensor([ids])
    generator = torch.Generator()
    generator.manual_seed(args.seed) if args.seed is not None else generator.seed()
    choose = _choice(args, chosen, generator)
    context = model.config.n_positions
    tokens = (
        _own_stream(model, prompt, args, chosen, generator)
        if args.mine
        else stream(model, prompt, args.tokens, context, choose, args.lookup)
    )
    say = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a character may take two tokens
    print(args.prompt, end="", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for token in tokens:
            number = int(token)
            if number == tokenizer.eot_token:
                break
            piece = (
                tokenizer.decode_single_token_bytes(number) if number < tokenizer.n_vocab else b""
            )
            print(say.decode(piece), end="", flush=True)
    print(say.decode(b"", final=True))
    return 0


def load_model(source: str | None, chosen: Any) -> Any:
    """The model to write with, in eval mode.

    Raises:
        CourseError: there is no checkpoint, or what is there cannot be loaded.
    """
    from common.cli.train import RUNS
    from common.train.checkpoint import find, latest_run

    if source is None:
        place = str(find(latest_run(RUNS)))
        print(f"({shown(Path(place))})", file=sys.stderr)
    else:
        local = next((p for p in (Path(source).expanduser(), RUNS / source) if p.is_dir()), None)
        place = str(find(local)) if local else source
    try:
        return chosen(17, "from_pretrained")(place).eval()
    except ValueError as error:
        raise CourseError(str(error)) from None


def _choice(args: argparse.Namespace, chosen: Any, generator: Any) -> Any:
    import torch

    if args.temperature == 0:
        return lambda logits: logits.argmax(-1, keepdim=True)
    keep = chosen(15, "filter_logits")

    def draw(logits: Tensor) -> Tensor:
        kept = keep(logits, args.temperature, args.top_k, args.top_p)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator)

    return draw


def _own_stream(
    model: Any, prompt: Tensor, args: argparse.Namespace, chosen: Any, generator: Any
) -> Any:
    """A token at a time through the learner's own generate."""
    import torch

    text, generate = prompt, chosen(15, "generate")
    for _ in range(args.tokens):
        token = generate(
            model, text, 1, model.config.n_positions, args.temperature, args.top_k, args.top_p, generator=generator
        )  # fmt: skip
        text = torch.cat([text, token], 1)
        yield token


def _check(args: argparse.Namespace) -> None:
    if args.tokens < 0:
        raise UsageError(f"--tokens must not be negative, not {args.tokens}")
    if args.temperature < 0:
        raise UsageError(f"--temperature must not be negative, not {args.temperature:g}")
    if args.lookup < 0:
        raise UsageError(f"--lookup must not be negative, not {args.lookup}")
    if args.top_k is not None and args.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, not {args.top_k}")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise UsageError(f"--top-p must be above 0 and at most 1, not {args.top_p:g}")
