"""LambdaLR drives the rate, groups come from the modules, a loss in nats for each record; own clipping."""
import math

import torch
from torch import nn


def optimizer_groups(model, weight_decay):
    seen, matrices, vectors = set(), [], []
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                (vectors if parameter.ndim < 2 else matrices).append(parameter)
    return [dict(params=vectors, weight_decay=0.0), dict(params=matrices, weight_decay=weight_decay)]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if step < 0 or warmup_steps < 0 or total_steps < 1:
        raise ValueError(f"step={step} and warmup_steps={warmup_steps} must reach 0, total_steps={total_steps} must reach 1")
    if step >= total_steps:
        return float(min_lr)
    if step < warmup_steps:
        return step * max_lr / warmup_steps
    angle = math.pi * (step - warmup_steps) / (total_steps - warmup_steps)
    weight = math.cos(angle / 2) ** 2
    return weight * max_lr + (1 - weight) * min_lr


def _loss(model, batch, reduction):
    where = next((p.device for p in model.parameters()), batch[0].device)
    inputs, targets = (part.to(where) for part in batch)
    log_probabilities = model(inputs).log_softmax(dim=-1)
    picked = -log_probabilities.gather(-1, targets.unsqueeze(-1))
    return picked.sum() if reduction == "sum" else picked.mean()


def evaluate(model, loader, max_batches=None):
    if max_batches is not None and max_batches <= 0:
        raise ValueError(f"max_batches={max_batches} leaves less than 1 batch")
    was = {m: m.training for m in model.modules()}
    sums, tokens, batches = 0.0, 0, 0
    model.eval()
    try:
        with torch.no_grad():
            for batch in loader:
                sums += float(_loss(model, batch, "sum"))
                tokens += batch[1].numel()
                batches += 1
                if batches == max_batches:
                    break
    finally:
        for m, flag in was.items():
            m.training = flag
    if tokens == 0:
        raise ValueError("nothing to evaluate: 0 tokens in the loader, at least 1 is needed")
    return sums / tokens


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every, eval_batches,
             grad_clip=1.0, on_eval=None):
    total = epochs * len(train_loader)
    if total < 1 or eval_every < 1:
        raise ValueError(f"{epochs} epochs of {len(train_loader)} batches, a record every {eval_every} steps: all must be at least 1")
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), lr=1.0, betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step + 1, max_lr, min_lr, warmup_steps, total))
    history, done, tokens = [], 0, 0
    for epoch in range(epochs):
        for batch in train_loader:
            model.train()
            loss = _loss(model, batch, "mean")
            model.zero_grad(set_to_none=True)
            loss.backward()
            if grad_clip:
                grads = [p.grad for p in model.parameters() if p.grad is not None]
                norm = torch.stack([g.pow(2).sum() for g in grads]).sum().sqrt()
                if norm > grad_clip:
                    for g in grads:
                        g.mul_(grad_clip / norm)
            optimizer.step()
            scheduler.step()
            done += 1
            tokens += batch[0].numel()
            if done % eval_every == 0:
                history.append(dict(epoch=epoch + 1, step=done, tokens_seen=tokens, train_loss=evaluate(model, train_loader, eval_batches),
                                    val_loss=evaluate(model, val_loader, eval_batches)))
                if on_eval:
                    on_eval(history[-1])
    return history
