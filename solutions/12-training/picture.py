"""Loss and gradient of a short training run on random tokens."""

import math

from common.pictures.panels import Control, Line, Lines
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit

V = 50
CONTROLS = (
    Control("lr", "Learning rate", "choice", "0.003", ("0.0003", "0.003", "0.03", "0.3")),
    Control("steps", "Steps", "number", "60", low=2, high=200, whole=True),
)
PARTS = ("train_gpt2",)


def draw(parts, controls):
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    norms = []

    def look(optimizer, *_):
        grads = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        norms.append(float(sum(float(g.square().sum()) for g in grads) ** 0.5))

    hook = register_optimizer_step_pre_hook(look)
    try:
        _, losses = parts.train_gpt2(
            vocab_size=V, embed_dim=32, num_heads=2, num_layers=1, block_size=16,
            batch_size=8, num_steps=controls["steps"], lr=float(controls["lr"]),
        )  # fmt: skip
    finally:
        hook.remove()
    if len(losses) != controls["steps"] or len(norms) != len(losses):
        raise Unfit(f"{controls['steps']} steps gave {len(losses)} losses and {len(norms)} updates")
    steps = tuple(float(i + 1) for i in range(len(losses)))
    return Picture(
        f"{len(losses)} steps with learning rate {controls['lr']}",
        "Left: the loss of each step, which stays near ln V as random tokens cannot be predicted; a learning rate that "
        "is too high drives it above. Right: the norm of all gradients together at each step.",
        (
            Lines(
                "loss", (Line("loss", steps, tuple(float(f"{v:.4g}") for v in losses)),), "step", "nats per token",
                levels=((f"ln V, V = {V}: nothing known", round(math.log(V), 4)),),
                reach=(3.6, 4.6),
            ),
            Lines(
                "norm of the gradient", (Line("norm", steps, tuple(float(f"{v:.4g}") for v in norms)),), "step", "norm",
            ),
        ),
        "Fresh random tokens at every step: the best possible loss is ln V.",
    )  # fmt: skip
