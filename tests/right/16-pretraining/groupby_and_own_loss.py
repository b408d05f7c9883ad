"""Groups by itertools.groupby, the schedule as a list of pieces, steps counted from 0 and asked for one later, more keys in a record."""
import itertools
import math
import numbers

import torch
from torch import nn, optim
from torch.nn import functional as F


def _device(m):
    return next(m.parameters()).device


def optimizer_groups(model, weight_decay):
    params = list(filter(lambda p: p.requires_grad, model.parameters()))
    key = lambda p: p.dim() >= 2
    params.sort(key=key)
    return [{"params": list(ps), "weight_decay": weight_decay * k, "betas": (0.9, 0.95)} for k, ps in itertools.groupby(params, key)]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if not isinstance(step, numbers.Integral) or step < 0:
        raise ValueError(f"step={step!r}")
    pieces = [
        (step < warmup_steps, lambda: step * max_lr / warmup_steps),
        (step < total_steps, lambda: min_lr + (max_lr - min_lr) * (1 + math.cos((step - warmup_steps) * math.pi / (total_steps - warmup_steps))) / 2),
        (True, lambda: min_lr),
    ]
    return next(f() for ok, f in pieces if ok)


def evaluate(model, loader, max_batches=None):
    was = model.training
    losses = []
    try:
        model.eval()
        for i, batch in enumerate(loader):
            if max_batches is not None and i >= max_batches:
                break
            x, y = batch[0].to(_device(model)), batch[1].to(_device(model))
            with torch.no_grad():
                losses.append(F.cross_entropy(model(input_ids=x).flatten(0, -2), y.flatten(), reduction="none").cpu())
    finally:
        if was:
            model.train()
    if not losses:
        raise ValueError("the loader yields nothing")
    return torch.cat(losses).double().mean().item()


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every, eval_batches, grad_clip=1.0, on_eval=None):
    if epochs <= 0:
        raise ValueError("epochs must be positive")
    if eval_every <= 0:
        raise ValueError("eval_every must be positive")
    if not len(train_loader):
        raise ValueError("train_loader must not be empty")
    total = epochs * len(train_loader)
    opt = optim.AdamW(optimizer_groups(model, weight_decay), lr=learning_rate(0, max_lr, min_lr, warmup_steps, total))
    out, tokens = [], 0
    last = {}
    for epoch in range(epochs):
        for i, (x, y) in enumerate(train_loader):
            step = epoch * len(train_loader) + i
            lr = learning_rate(step + 1, max_lr, min_lr, warmup_steps, total)
            for g in opt.param_groups:
                g.update(lr=lr)
            x, y = x.to(_device(model)), y.to(_device(model))
            model.train()
            for p in model.parameters():
                p.grad = None
            with torch.enable_grad():
                logits = model(input_ids=x)
                loss = -logits.log_softmax(-1).gather(-1, y.unsqueeze(-1)).mean()
            loss.backward()
            if grad_clip is not None:
                norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
                nn.utils.clip_grads_with_norm_(model.parameters(), grad_clip, norm)
            opt.step()
            tokens += y.numel()
            last = {"epoch": epoch + 1, "step": step + 1, "tokens_seen": tokens}
            if (step + 1) % eval_every == 0:
                last["train_loss"] = evaluate(model, train_loader, eval_batches)
                last["val_loss"] = evaluate(model, val_loader, eval_batches)
                last["lr"] = lr
                last["perplexity"] = math.exp(last["val_loss"])
                out.append(last)
                (on_eval or (lambda r: None))(last)
    model.eval()
    return out
