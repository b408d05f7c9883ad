"""torch._foreach over the parameters that have a gradient; AdamW a flag of the base class."""

from math import cos, pi

import torch


class _Base:
    decoupled = False

    def __init__(self, params, lr, betas, eps, weight_decay):
        self.params = tuple(params)
        if not self.params:
            raise ValueError("an empty list of parameters")
        b1, b2 = betas
        for what, value, fine in (
            ("lr", lr, lr >= 0),
            ("beta1", b1, 0 <= b1 < 1),
            ("beta2", b2, 0 <= b2 < 1),
            ("eps", eps, eps >= 0),
            ("decay", weight_decay, weight_decay >= 0),
        ):
            if not fine:
                raise ValueError("%s=%r" % (what, value))
        self.lr = lr
        self._set = b1, b2, eps, weight_decay
        self._m = [p.detach() * 0 for p in self.params]
        self._v = [p.detach() * 0 for p in self.params]
        self._t = [0] * len(self.params)

    def step(self):
        b1, b2, eps, decay = self._set
        live = [i for i, p in enumerate(self.params) if p.grad is not None]
        if not live:
            return
        p, m, v = ([x[i] for i in live] for x in (self.params, self._m, self._v))
        with torch.no_grad():
            g = [x.grad for x in p]
            if decay and self.decoupled:
                torch._foreach_mul_(p, 1 - self.lr * decay)
            elif decay:
                g = torch._foreach_add(g, p, alpha=decay)
            torch._foreach_lerp_(m, g, 1 - b1)
            torch._foreach_mul_(v, b2)
            torch._foreach_addcmul_(v, g, g, 1 - b2)
            for i, x, mm, vv in zip(live, p, m, v):
                self._t[i] += 1
                x.addcdiv_(
                    mm,
                    (vv / (1 - b2 ** self._t[i])).sqrt_().add_(eps),
                    value=-self.lr / (1 - b1 ** self._t[i]),
                )

    def zero_grad(self):
        for p in self.params:
            p.grad = None


class Adam(_Base):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr, betas, eps, weight_decay)


class AdamW(_Base):
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps, weight_decay)


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if step < 0 or not 0 <= warmup_steps <= total_steps:
        raise ValueError((step, warmup_steps, total_steps))
    if step < warmup_steps:
        return max_lr * (step / warmup_steps)
    span = max(1, total_steps - warmup_steps)
    done = min(1.0, (step - warmup_steps) / span) if total_steps > warmup_steps else 1.0
    share = 0.5 + 0.5 * cos(pi * done)
    return share * max_lr + (1 - share) * min_lr
