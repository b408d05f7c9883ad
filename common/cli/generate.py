"""gpt2 generate: a trained model writes, and you see it writing."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.course.catalogue import shown
from common.errors import CourseError, UsageError
from common.text.visible import visible
from common.train import runs

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from common.train.parts import Parts

# What writing with the learner's own parts rests on.
OWN = (4, 5, 6, 7, 8, 9, 10, 15, 17)


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
    place = place_of(args.source)
    import torch

    from common.train.parts import parts

    chosen = parts(mine=args.mine, numbers=OWN)
    model = load_model(place, chosen)
    generator = torch.Generator()
    generator.manual_seed(args.seed) if args.seed is not None else generator.seed()
    with contextlib.suppress(KeyboardInterrupt):
        write(model, args, chosen, generator)
    print()
    return 0


def write(model: Any, args: argparse.Namespace, chosen: Parts, generator: Generator) -> None:
    """The prompt and how the model goes on, each piece as soon as it is there.

    Args:
        args: prompt, tokens, temperature, top_k, top_p and mine, as `add_arguments` names them.
    """
    import torch

    from common.text.tokenizer import gpt2_tokenizer
    from common.train.decode import stream

    tokenizer = gpt2_tokenizer()
    ids = tokenizer.encode(args.prompt, allowed_special="all") or [tokenizer.eot_token]
    prompt = torch.tensor([ids])
    if args.mine:
        tokens = _own_stream(model, prompt, args, chosen, generator)
    else:
        choose = _choice(args, chosen, generator)
        tokens = stream(model, prompt, args.tokens, model.config.n_positions, choose)
    print(args.prompt, end="", flush=True)
    for piece in _pieces(tokens, tokenizer):
        print(piece, end="", flush=True)


def place_of(source: str | None) -> str:
    """Where the weights are: a folder, or a name on the hub.

    Raises:
        CourseError: there is no checkpoint, or no way to the hub.
    """
    if source is None:
        latest = runs.latest_run()
        place = runs.checkpoint_in(latest)
        unfinished = "" if runs.is_finished(latest) else ", a run that did not come to its end"
        print(f"({shown(place)}{unfinished})", file=sys.stderr)
        return str(place)
    local = next((p for p in (Path(source).expanduser(), runs.RUNS / source) if p.is_dir()), None)
    if local:
        return str(runs.checkpoint_in(local))
    _prepare_hub()
    return source


def load_model(place: str, chosen: Parts) -> Any:
    """The model to write with, in eval mode.

    Raises:
        CourseError: what is there cannot be loaded.
    """
    try:
        return chosen(17, "from_pretrained")(place).eval()
    except ValueError as error:
        raise CourseError(str(error)) from None


def _prepare_hub() -> None:
    """Keep the hub's client quiet; without a network let it look into its cache only, as it would try for long."""
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    host = os.environ.get("HF_ENDPOINT", "https://huggingface.co").split("//")[-1].split("/")[0]
    try:
        name, _, port = host.partition(":")
        socket.create_connection((name, int(port or 443)), timeout=3).close()
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the client is imported


def _pieces(tokens: Iterator[Tensor], tokenizer: Any) -> Iterator[str]:
    """Text as it can be shown: a character may take two tokens, and a token may be a code that moves the cursor."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        number = int(token)
        if number == tokenizer.eot_token:
            break
        known = number < tokenizer.n_vocab
        text = decoder.decode(tokenizer.decode_single_token_bytes(number) if known else b"")
        yield visible(text, keep="\n\t")
    yield decoder.decode(b"", final=True)


def _choice(
    args: argparse.Namespace, chosen: Parts, generator: Generator
) -> Callable[[Tensor], Tensor]:
    import torch

    from common.train.decode import greedy

    if args.temperature == 0:
        return greedy
    keep = chosen(15, "filter_logits")

    def draw(logits: Tensor) -> Tensor:
        kept = keep(logits, args.temperature, args.top_k, args.top_p)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator)

    return draw


def _own_stream(
    model: Any, prompt: Tensor, args: argparse.Namespace, chosen: Parts, generator: Generator
) -> Iterator[Tensor]:
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
    if args.top_k is not None and args.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, not {args.top_k}")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise UsageError(f"--top-p must be above 0 and at most 1, not {args.top_p:g}")
