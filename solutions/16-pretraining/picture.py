"""The schedule of the learning rate, and what weight decay touches."""

from common.pictures.panels import Bars, Control, Line, Lines
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit

CONTROLS = (
    Control("warmup", "warmup_steps", "number", "100", low=0, high=1000, whole=True),
    Control("total", "total_steps", "number", "1000", low=1, high=1000, whole=True),
    Control("low", "min_lr / max_lr", "number", "0.1", low=0, high=1),
)
PARTS = ("learning_rate", "optimizer_groups")
TOP = 6e-4


def draw(parts, controls):
    from common import problem
    from common.config import GPT2Config

    total, warmup = controls["total"], min(controls["warmup"], controls["total"] - 1)
    every = max(total // 200, 1)
    steps = [*range(0, int(1.1 * total) + 1, every)]
    rates = [parts.learning_rate(s, TOP, controls["low"] * TOP, warmup, total) for s in steps]
    if not all(isinstance(rate, int | float) for rate in rates):
        raise Unfit("learning_rate gave no number")
    model = problem(10).GPT2Model(
        GPT2Config(vocab_size=500, n_positions=64, n_embd=48, n_layer=2, n_head=4)
    )
    groups = parts.optimizer_groups(model, 0.1)
    counts = {True: 0, False: 0}
    for group in groups:
        counts[group["weight_decay"] > 0] += sum(p.numel() for p in group["params"])
    return Picture(
        f"The learning rate: {warmup} steps up, then down to {controls['low']:g} of it",
        "A curve over steps: a straight line up from 0 during warm-up, then half a cosine down to the lowest rate, "
        "where it stays. Beside it how many parameters of a small model decay: the matrices, nearly all; biases and "
        "norms do not.",
        (
            Lines(
                "learning_rate(step)",
                (Line("rate", tuple(map(float, steps)), tuple(float(f"{r:.4g}") for r in rates)),),
                "step", "learning rate",
                levels=((f"min_lr {controls['low'] * TOP:g}", controls["low"] * TOP),),
            ),
            Bars(
                "parameters of a small model, in thousands", ("matrices: decay", "biases and norms: none"),
                (("", (counts[True] / 1e3, counts[False] / 1e3)),), "",
            ),
        ),
        f"max_lr is {TOP:g}.",
    )  # fmt: skip
