"""A model before and after init_weights: how the stream grows, and what the first loss is."""

import math

from common.pictures.panels import Bars, Control, Line, Lines
from common.pictures.picture import Picture

CONTROLS = (
    Control("layers", "Blocks", "number", "12", low=1, high=48, whole=True),
    Control("vocabulary", "vocab_size", "number", "1000", low=10, high=20_000, whole=True),
)
PARTS = ("init_weights",)
T, C = 32, 64


def draw(parts, controls):
    import torch
    from torch.nn.functional import cross_entropy

    from common import problem
    from common.config import GPT2Config

    L, V = controls["layers"], controls["vocabulary"]
    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_head=4, n_layer=L)
    model = problem(10).GPT2Model(config).eval()
    tokens = torch.randint(V, (2, T + 1))

    def looked_at():
        sizes = []
        hooks = [
            m.register_forward_hook(lambda _m, _i, x: sizes.append(float(f"{float(x.std()):.4g}")))
            for m in (model.drop, *model.h)
        ]
        with torch.no_grad():
            loss = cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        for hook in hooks:
            hook.remove()
        return tuple(sizes), float(f"{float(loss):.4g}")

    before, first = looked_at()
    parts.init_weights(model)
    after, second = looked_at()
    depth = tuple(float(i) for i in range(L + 1))
    return Picture(
        f"A model of {L} blocks as PyTorch makes it, and after init_weights",
        "Left: the standard deviation of the stream through the blocks, before and after init_weights; after it the "
        "numbers start small and grow slowly. Right: the first loss: far above ln V as PyTorch makes the model, and at "
        "ln V after init_weights.",
        (
            Lines(
                "standard deviation of the stream",
                (Line("as PyTorch makes it", depth, before), Line("after init_weights", depth, after)),
                "blocks passed", "standard deviation", log=True,
            ),
            Bars(
                "first loss, nats", ("as PyTorch makes it", "after init_weights", f"ln V, V = {V:,}"),
                (("", (first, second, round(math.log(V), 3))),), "a model that knows nothing pays ln V",
            ),
        ),
    )  # fmt: skip
