"""Heads side by side, each told to look for something else."""

from common.pictures.panels import Control, Heat
from common.pictures.picture import Picture
from common.pictures.scenes import HEADS, heads_at_work, sentence, table, tokens

ALL = "all"
CONTROLS = (sentence(), Control("head", "Head", "choice", ALL, (ALL, "0", "1", "2", "3")))
PARTS = ("MultiHeadAttention",)


def draw(parts, controls):
    words = tokens(controls["sentence"])
    T, labels = len(words), tuple(words)
    weights = heads_at_work(parts.MultiHeadAttention, words)
    chosen = range(len(HEADS)) if controls["head"] == ALL else [int(controls["head"])]
    panels = tuple(
        Heat(
            f"head {h}: {HEADS[h]}", table(weights[h], T, T, f"head {h}"), labels, labels,
            "token that asks", "token that is asked", most=1.0,
        )
        for h in chosen
    )  # fmt: skip
    return Picture(
        "Four heads over one sentence",
        "Attention weights of four heads over the same sentence. One looks at equal words, one at the token before, "
        "one at the first token, one at all alike; every token sees every other, before and after it.",
        panels,
        "The weights are read off the layer's output: its c_attn was set so that each head looks for one thing.",
    )
