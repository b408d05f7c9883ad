"""The curve of GELU, and what it leaves of the numbers between the two layers."""

import itertools

from common import GPT2Config
from common.pictures.panels import Bars, Control, Line, Lines
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit, row

CONTROLS = (Control("spread", "Size of the inputs", "number", "1", low=0.1, high=5),)
PARTS = ("gelu", "FeedForward")
EDGES = (-2.5, -1.5, -0.5, -0.2, 0.2, 0.5, 1.5, 2.5)


def draw(parts, controls):
    import torch

    x = torch.linspace(-4, 4, 161)
    places = tuple(round(float(v), 3) for v in x)
    curves = (
        Line("gelu", places, row(parts.gelu(x), 161, "gelu")),
        Line("relu", places, row(x.relu(), 161, "relu")),
    )
    model = parts.FeedForward(GPT2Config(n_embd=48, n_head=4, resid_pdrop=0.0)).eval()
    hidden = []
    with (
        model.c_fc.register_forward_hook(lambda _m, _i, output: hidden.append(output)),
        torch.no_grad(),
    ):
        model.c_fc.weight.normal_(std=48**-0.5)
        model(controls["spread"] * torch.randn(1, 64, 48))
    if not hidden or hidden[0].numel() != 64 * 192:
        raise Unfit("forward does not go through c_fc once")
    before = hidden[0].flatten()
    after = parts.gelu(before)
    names = (
        "below -2.5",
        *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(EDGES)),
        "above 2.5",
    )

    def shares(values):
        counts = torch.bincount(torch.bucketize(values, torch.tensor(EDGES)), minlength=len(names))
        return tuple(round(100 * float(n) / len(values), 2) for n in counts)

    return Picture(
        "GELU lets the positive through and presses the negative to nothing",
        "The curve of GELU beside that of ReLU: nearly 0 for negative numbers with a small dip at -0.75, nearly x for "
        "positive ones. Beside it how the numbers inside a feed-forward layer are spread before and after it: of those "
        "that were negative almost all end near 0.",
        (
            Lines("gelu(x)", curves, "x", "gelu(x)"),
            Bars(
                "the hidden numbers of one layer, percent", names,
                (("before gelu", shares(before)), ("after", shares(after))), "", 0,
            ),
        ),
    )  # fmt: skip
