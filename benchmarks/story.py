"""Two recipes on one story, in one run: a plain one from elsewhere, and ours; both curves, and the ratio of times.

    python benchmarks/story.py [--text the-verdict] [--out FOLDER] [--ours-only]

Both see the same split (90/10 by characters) and are judged on the same validation windows of 256 tokens. The
plain recipe is a few flags of `gpt2 train`: 124M parameters, AdamW at a constant rate, PyTorch's initialisation,
an untied head, dropout 0.1, 10 epochs. A table of bigrams, its smoothing chosen on the validation text itself,
stands beside the curves: what a model has to beat before it has learned more than pairs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from common.texts import read_text
from common.tokenizer import VOCAB_SIZE, gpt2_tokenizer

from common.cli.train import RUNS
from common.train.plot import chart

TARGET = 6.16  # the best validation loss published for the plain recipe on the-verdict

SAME = ["--context", "256", "--eval-batches", "2", "--sample-tokens", "0", "--seed", "123"]
PLAIN = [
    "--size", "small", "--n-positions", "256", "--init", "torch", "--untied", "--schedule", "constant",
    "--lr", "4e-4", "--weight-decay", "0.1", "--beta2", "0.999", "--grad-clip", "0",
    "--batch-size", "2", "--stride", "256", "--epochs", "10", "--eval-every", "9",
]  # fmt: skip
OURS = [
    "--n-positions", "256", "--n-embd", "768", "--n-layer", "2", "--n-head", "12", "--dropout", "0.1",
    "--init", "torch", "--untied", "--schedule", "constant", "--lr", "4e-4", "--label-smoothing", "0.1",
    "--batch-size", "2", "--stride", "256", "--epochs", "7", "--eval-every", "9", "--fast",
]  # fmt: skip


def bigram_loss(train: list[int], val: list[int]) -> tuple[float, str]:
    """The validation loss of bigrams mixed with unigrams, both smoothed, at the best mixture found."""
    uni = np.bincount(train, minlength=VOCAB_SIZE).astype(float)
    pairs: dict[tuple[int, int], int] = {}
    for pair in pairwise(train):
        pairs[pair] = pairs.get(pair, 0) + 1
    best = (float("inf"), "")
    for alpha in (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3):
        single = (uni + alpha) / (uni.sum() + alpha * VOCAB_SIZE)
        for strength in (0.5, 1, 2, 4, 8, 16):
            nats = [
                -np.log((pairs.get((a, b), 0) + strength * single[b]) / (uni[a] + strength))
                for a, b in pairwise(val)
            ]
            best = min(
                best, (float(np.mean(nats)), f"add {alpha:g}, {strength:g} parts of unigrams")
            )
    return best


def train(name: str, flags: list[str], text: str, root: Path) -> list[dict]:
    """Run `gpt2 train` with these flags; its history."""
    out = root / name
    command = [
        sys.executable,
        "-m",
        "common.cli",
        "train",
        "--text",
        text,
        "--out",
        str(out),
        *SAME,
        *flags,
    ]
    print("$ gpt2 " + " ".join(command[3:]), flush=True)
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=RUNS.parent)
    lines = (out / "history.jsonl").read_text(encoding="utf-8").splitlines()
    print(f"  {time.monotonic() - begun:.0f} s with start-up", flush=True)
    return [json.loads(line) for line in lines]


def seconds_to(history: list[dict], loss: float) -> float | None:
    """Training time, evaluations included, until the validation loss was that low."""
    return next((r["seconds"] for r in history if r["val_loss"] <= loss), None)


def show(name: str, history: list[dict]) -> None:
    """The curve, and its best point."""
    best = min(history, key=lambda r: r["val_loss"])
    last = history[-1]
    print(
        f"\n{name}: best validation loss {best['val_loss']:.3f} (epoch {best['epoch']}, {best['seconds']:.0f} s);"
    )
    print(
        f"at the end {last['val_loss']:.3f}, training {last['train_loss']:.3f}, {last['seconds']:.0f} s"
    )
    print("\n".join(chart(history)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", default="the-verdict")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours-only", action="store_true")
    args = parser.parse_args()
    text = read_text(args.text)
    cut = int(0.9 * len(text))
    encode = gpt2_tokenizer().encode
    table, how = bigram_loss(encode(text[:cut]), encode(text[cut:]))
    with tempfile.TemporaryDirectory() as temporary:
        root = args.out or Path(temporary)
        ours = train("ours", OURS, args.text, root)
        plain = [] if args.ours_only else train("plain", PLAIN, args.text, root)
    show("ours", ours)
    if plain:
        show("the plain recipe", plain)
    print(f"\nbigram table: {table:.3f} ({how}, chosen on the validation text)")
    reached = {"ours": seconds_to(ours, TARGET), "plain": seconds_to(plain, TARGET)}
    print(
        f"validation loss {TARGET} reached after: "
        + ", ".join(f"{k} {v:.1f} s" if v else f"{k} never" for k, v in reached.items())
    )
    if plain:
        whole, own = plain[-1]["seconds"], reached["ours"]
        lowest = min(r["val_loss"] for r in plain)
        again = seconds_to(ours, lowest)
        at_best = seconds_to(plain, lowest)
        if own:
            print(
                f"ours reaches it in {own / whole:.3f} of the plain recipe's whole time ({own:.1f} of {whole:.1f} s)"
            )
        if again and at_best:
            print(
                f"the plain recipe's own best, {lowest:.3f}, in {again / at_best:.3f} of its time"
            )


if __name__ == "__main__":
    main()
