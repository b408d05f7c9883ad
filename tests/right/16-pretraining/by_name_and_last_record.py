"""Groups by the module tree, one group for each parameter; a record for the last, partial stretch too; own clipping."""
from contextlib import contextmanager
from math import cos, pi

import torch
from torch import nn

from common import problem

loss_fn = problem(12).language_model_loss


def optimizer_groups(model, weight_decay):
    seen, groups = set(), []
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if id(p) in seen or not p.requires_grad:
                continue
            seen.add(id(p))
            decays = name != "bias" and isinstance(module, (nn.Linear, nn.Embedding))
            groups.append({"params": [p], "weight_decay": weight_decay if decays else 0.0, "name": type(module).__name__})
    return groups


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if step >= total_steps:
        return float(min_lr)
    if warmup_steps > step:
        return step / warmup_steps * max_lr
    left = (total_steps - step) / (total_steps - warmup_steps)  # 1 at the end of the warm-up, 0 at the end
    return max_lr * (1 - cos(pi * left)) / 2 + min_lr * (1 + cos(pi * left)) / 2


@contextmanager
def evaluating(model):
    modes = {m: m.training for m in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for m, mode in modes.items():
            m.training = mode


def evaluate(model, loader, max_batches=None):
    if max_batches is not None and max_batches < 1:
        raise ValueError(f"max_batches={max_batches}: at least 1")
    weight = next(model.parameters())
    n, mean, batches = 0, 0.0, 0
    with evaluating(model):
        for batch in loader:
            if batches == max_batches:
                break
            batches += 1
            x, y = (t.to(weight.device) for t in batch)
            n += y.numel()
            mean += (float(loss_fn(model(x), y)) - mean) * y.numel() / n  # running mean
    if n == 0:
        raise ValueError("nothing to evaluate: the loader is empty")
    return mean


def clip(parameters, limit):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = sum(float(g.pow(2).sum()) for g in grads) ** 0.5
    if norm > limit:
        for g in grads:
            g *= limit / norm


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every,
             eval_batches, grad_clip=1.0, on_eval=lambda record: None):
    total = epochs * len(train_loader)
    if not epochs > 0:
        raise ValueError("at least one epoch, please")
    if not eval_every > 0:
        raise ValueError(f"eval_every is {eval_every}, at least 1 is needed")
    if not total:
        raise ValueError("the train loader holds no batches")
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), betas=(0.9, 0.95), foreach=False)
    history, step, tokens = [], 0, 0
    stream = ((epoch, x, y) for epoch in range(1, epochs + 1) for x, y in train_loader)
    for step, (epoch, x, y) in enumerate(stream, start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, max_lr, min_lr, warmup_steps, total)
        model.train()
        model.zero_grad()
        loss_fn(model(x.to(device)), y.to(device)).backward()
        if grad_clip is not None:
            clip(model.parameters(), grad_clip)
        optimizer.step()
        tokens += x.shape[0] * x.shape[1]
        if step % eval_every == 0 or step == total:
            record = {"epoch": epoch, "step": step, "tokens_seen": tokens}
            for name, loader in (("train", train_loader), ("val", val_loader)):
                record[name + "_loss"] = evaluate(model, loader, eval_batches)
            history.append(record)
            if on_eval is not None:
                on_eval(dict(record))
    return history
