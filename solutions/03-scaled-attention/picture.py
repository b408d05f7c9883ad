"""What dividing by the root of D saves: a softmax that still has something to choose from."""

import math

from common.pictures.panels import Bars, Control, Line, Lines
from common.pictures.picture import Picture
from common.pictures.scenes import row

KEYS = 8
CONTROLS = (
    Control("width", "D, the channels of a head", "choice", "64", ("4", "16", "64", "256")),
    Control("scale", "Size of the vectors", "number", "1", low=0.1, high=4),
)
PARTS = ("softmax", "scaled_dot_product_attention")


def draw(parts, controls):
    import torch

    D, size = int(controls["width"]), controls["scale"]

    def weights(width, seed):
        source = torch.Generator().manual_seed(seed)
        query, keys = (size * torch.randn(n, width, generator=source) for n in (1, KEYS))
        raw = parts.softmax(query @ keys.mT)
        scaled = parts.scaled_dot_product_attention(query, keys, torch.eye(KEYS))[1]
        return row(raw[0], KEYS, "softmax"), row(
            scaled[0], KEYS, "scaled_dot_product_attention's weights"
        )

    widths = [2**k for k in range(1, 11)]
    means = []
    for width in widths:
        pairs = [tuple(map(max, weights(width, seed))) for seed in range(30)]
        means.append(tuple(sum(values) / len(values) for values in zip(*pairs, strict=True)))
    raw, scaled = weights(D, 3)
    places = tuple(math.log2(width) for width in widths)
    return Picture(
        f"One query, {KEYS} keys, D = {D}: the softmax without the scale, and with it",
        f"Bars of the weights that one query gives to {KEYS} keys: without the scale one key takes nearly everything, "
        "with it all have a part. Beside them the largest weight over D: it grows to 1 without the scale, and stays "
        "where it is with it.",
        (
            Bars(
                "weights of one query", tuple(f"key {i}" for i in range(KEYS)),
                (("softmax(q·k)", raw), ("softmax(q·k / √D)", scaled)), "each sum to 1",
            ),
            Lines(
                "the largest of the weights, on average",
                tuple(
                    Line(name, places, tuple(round(m[i], 4) for m in means))
                    for i, name in enumerate(("without the scale", "divided by √D"))
                ),
                "log₂ D: from 2 to 1024 channels", "weight", levels=((f"all {KEYS} alike", 1 / KEYS),),
            ),
        ),
        "Queries and keys are random numbers of the size that is set; 30 draws for each D.",
    )  # fmt: skip
