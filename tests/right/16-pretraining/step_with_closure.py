"""optimizer.step(closure), LambdaLR over a rate of 1, a sine for the cosine."""
import math

import torch
from torch.nn.functional import log_softmax, nll_loss


def optimizer_groups(model, weight_decay):
    no_decay, decay = set(), set()
    for n, p in model.named_parameters():
        if p.requires_grad: (no_decay if p.ndim < 2 else decay).add(p)
    return [{"params": sorted(decay, key=lambda p: p.numel()), "weight_decay": weight_decay}, {"params": sorted(no_decay, key=lambda p: p.numel()), "weight_decay": 0.0}]

def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if step >= total_steps: return min_lr
    if step < warmup_steps: return max_lr * (step / warmup_steps)
    p = 1 - (total_steps - step) / (total_steps - warmup_steps)
    return max_lr - (max_lr - min_lr) * math.sin(math.pi * p / 2) ** 2

def _loss(model, x, y):
    return nll_loss(log_softmax(model(x), -1).transpose(1, 2), y)

def evaluate(model, loader, max_batches=None):
    dev = next(model.parameters()).device
    mode = model.training
    tot, cnt = 0.0, 0
    model.train(False)
    with torch.set_grad_enabled(False):
        for b, (x, y) in enumerate(loader):
            if b == max_batches: break
            x, y = x.to(device=dev), y.to(device=dev)
            l = _loss(model, x, y).item()
            tot, cnt = tot + l * y.nelement(), cnt + y.nelement()
    model.train(mode)
    try:
        return tot / cnt
    except ZeroDivisionError:
        raise ValueError("nothing to evaluate") from None

def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every, eval_batches, grad_clip=1.0, on_eval=None):
    if epochs < 1: raise ValueError(epochs)
    if eval_every < 1: raise ValueError(eval_every)
    if len(train_loader) < 1: raise ValueError("train_loader")
    dev = next(model.parameters()).device
    total = epochs * len(train_loader)
    opt = torch.optim.AdamW(optimizer_groups(model, weight_decay), lr=1.0, betas=(0.9, 0.95))
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: learning_rate(s + 1, max_lr, min_lr, warmup_steps, total))
    hist = []
    state = dict(step=0, tokens=0)
    def train_step(x, y):
        x, y = x.to(dev), y.to(dev)
        def closure():
            opt.zero_grad(set_to_none=False)
            loss = _loss(model, x, y)
            loss.backward()
            if grad_clip is not None: torch.nn.utils.clip_grad_norm_(list(model.parameters()), float(grad_clip), foreach=False)
            return loss
        model.train()
        opt.step(closure)
        sched.step()
        state["step"] += 1; state["tokens"] += len(y.reshape(-1))
    for e in range(epochs):
        for x, y in iter(train_loader):
            train_step(x, y)
            if state["step"] % eval_every: continue
            hist.append({"epoch": e + 1, "step": state["step"], "tokens_seen": state["tokens"], "train_loss": evaluate(model, train_loader, eval_batches), "val_loss": evaluate(model, val_loader, max_batches=eval_batches)})
            if on_eval: on_eval(hist[-1])
    return hist
