"""AdamW written out, gradients from torch.autograd.grad, the schedule by clamping, a closure for the record."""
import math

import torch
from torch.nn.functional import cross_entropy


class HandAdamW:
    def __init__(self, groups, betas=(0.9, 0.95), eps=1e-8):
        self.betas, self.eps, self.t = betas, eps, 0
        self.slots = [(p, torch.zeros_like(p), torch.zeros_like(p), g["weight_decay"]) for g in groups for p in g["params"]]
        self.parameters = [slot[0] for slot in self.slots]

    @torch.no_grad()
    def step(self, gradients, lr):
        self.t += 1
        b1, b2 = self.betas
        for (p, m, v, decay), g in zip(self.slots, gradients, strict=True):
            p.mul_(1 - lr * decay)
            m.lerp_(g, 1 - b1)
            v.lerp_(g * g, 1 - b2)
            p.sub_(lr * (m / (1 - b1**self.t)) / ((v / (1 - b2**self.t)).sqrt() + self.eps))


def optimizer_groups(model, weight_decay):
    decay, rest = [], []
    for p in model.parameters():
        if p.requires_grad:
            (decay if len(p.shape) > 1 else rest).append(p)
    return [dict(params=decay, weight_decay=weight_decay), dict(params=rest, weight_decay=0.0)]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    warm = step / warmup_steps if warmup_steps else 1.0
    if warm < 1:
        return max_lr * warm
    span = total_steps - warmup_steps
    done = min((step - warmup_steps) / span, 1.0) if span > 0 else 1.0
    return min_lr + (max_lr - min_lr) * math.cos(math.pi / 2 * done) ** 2


def evaluate(model, loader, max_batches=None):
    was, device = model.training, next(model.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64)
    model.eval()
    try:
        for number, (inputs, targets) in enumerate(loader, start=1):
            if max_batches is not None and number > max_batches:
                break
            with torch.no_grad():
                logits = model(inputs.to(device))
                losses = cross_entropy(logits.transpose(1, 2), targets.to(device), reduction="none")
            sums += torch.tensor([losses.sum().item(), losses.numel()], dtype=torch.float64)
        if sums[1] == 0:
            raise ValueError("no tokens to evaluate on")
        return (sums[0] / sums[1]).item()
    finally:
        model.train(was)


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every,
             eval_batches, grad_clip=1.0, on_eval=None):
    for what, n in (("epochs", epochs), ("eval_every", eval_every), ("len(train_loader)", len(train_loader))):
        if n < 1:
            raise ValueError(f"{what} is {n}, which is below 1")
    device = next(model.parameters()).device
    adamw = HandAdamW(optimizer_groups(model, weight_decay))
    history, state = [], {"step": 0, "tokens_seen": 0}

    def update(inputs, targets):
        model.train()
        loss = cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(loss, adamw.parameters, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(adamw.parameters, gradients)]
        if grad_clip is not None:
            norm = torch.stack([g.norm() for g in gradients]).norm()
            gradients = [g * (grad_clip / norm).clamp(max=1.0) for g in gradients]
        adamw.step(gradients, learning_rate(state["step"] + 1, max_lr, min_lr, warmup_steps, epochs * len(train_loader)))
        state["step"] += 1
        state["tokens_seen"] += targets.numel()

    def look(epoch):
        losses = {"train_loss": evaluate(model, train_loader, eval_batches), "val_loss": evaluate(model, val_loader, eval_batches)}
        history.append({"epoch": epoch, **state, **losses})
        if on_eval is not None:
            on_eval(history[-1])

    for epoch in range(1, epochs + 1):
        for inputs, targets in train_loader:
            update(inputs.to(device), targets.to(device))
            if state["step"] % eval_every == 0:
                look(epoch)
    return history
