"""Defaults handed on by keyword, state kept by id, the update through .data; the rate as an expression."""

import math

import torch


class Adam:
    l2 = True

    def __init__(self, params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0):
        wrong = [
            f"{n}={x}"
            for n, x in dict(lr=lr, eps=eps, weight_decay=weight_decay).items()
            if not x >= 0
        ]
        wrong += [f"beta={b}" for b in betas if b < 0 or b >= 1]
        if wrong:
            raise ValueError(", ".join(wrong))
        self.lr = lr
        self._rest = tuple(betas) + (eps, weight_decay)
        self._params = []
        self._state = {}
        for p in params:
            self._params.append(p)
            self._state[id(p)] = {
                "t": torch.zeros((), dtype=torch.float64),
                "m": torch.zeros_like(p.data),
                "v": torch.zeros_like(p.data),
            }
        if self._params == []:
            raise ValueError("params=[]")

    def step(self):
        b1, b2, eps, decay = self._rest
        for p in self._params:
            if p.grad is None:
                continue
            s = self._state[id(p)]
            s["t"] += 1
            t = s["t"].item()
            g = p.grad.data
            if self.l2:
                g = g + decay * p.data
            else:
                p.data.sub_(p.data, alpha=self.lr * decay)
            s["m"] = s["m"].mul(b1).add(g, alpha=1 - b1)
            s["v"] = s["v"].mul(b2).addcmul(g, g, value=1 - b2)
            m = s["m"].div(1 - math.pow(b1, t))
            v = s["v"].div(1 - math.pow(b2, t))
            p.data.add_(m.div(v.pow(0.5).add(eps)), alpha=-self.lr)

    def zero_grad(self):
        for p in self._params:
            p.grad = None


class AdamW(Adam):
    l2 = False

    def __init__(self, *args, weight_decay=0.01, **kwargs):
        super().__init__(*args, weight_decay=weight_decay, **kwargs)


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if step < 0 or warmup_steps < 0 or total_steps < 0 or warmup_steps > total_steps:
        raise ValueError("counts")
    return (
        max_lr * step / warmup_steps
        if step < warmup_steps
        else min_lr
        if step >= total_steps
        else min_lr
        + 0.5
        * (max_lr - min_lr)
        * (1.0 + math.cos((step - warmup_steps) / (total_steps - warmup_steps) * math.pi))
    )
