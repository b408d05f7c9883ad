"""Pretraining, plain version."""
import itertools
import math

import torch
import torch.nn.functional as F


def optimizer_groups(model, weight_decay):
    if weight_decay < 0:
        raise ValueError(f"weight_decay is {weight_decay}, but must be at least 0")
    decay, rest = [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            decay.append(parameter)
        else:
            rest.append(parameter)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if step < 0:
        raise ValueError(f"step is {step}, but must be at least 0")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"warmup_steps is {warmup_steps}, but must lie between 0 and total_steps {total_steps}")
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + 0.5 * (max_lr - min_lr) * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def evaluate(model, loader, max_batches=None):
    if max_batches is not None and max_batches < 1:
        raise ValueError(f"max_batches is {max_batches}, but must be at least 1")
    device = next((p.device for p in model.parameters()), "cpu")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    total, count = 0.0, 0
    try:
        for inputs, targets in itertools.islice(loader, max_batches):
            inputs, targets = inputs.to(device), targets.to(device)
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            total += loss.item() * targets.numel()
            count += targets.numel()
    finally:
        for module, training in modes:
            module.training = training
    if count == 0:
        raise ValueError("the loader has 0 batches, but at least 1 is needed")
    return total / count


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every, eval_batches,
             grad_clip=1.0, on_eval=None):
    for name, value in (("epochs", epochs), ("eval_every", eval_every), ("len(train_loader)", len(train_loader))):
        if value < 1:
            raise ValueError(f"{name} is {value}, but must be at least 1")
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), lr=max_lr, betas=(0.9, 0.95))
    total_steps = epochs * len(train_loader)
    history, step, tokens_seen = [], 0, 0
    model.train()
    for epoch in range(1, epochs + 1):
        for inputs, targets in train_loader:
            inputs, targets = inputs.to(device), targets.to(device)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step + 1, max_lr, min_lr, warmup_steps, total_steps)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            loss.backward()
            if grad_clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
            optimizer.step()
            step += 1
            tokens_seen += inputs.numel()
            if step % eval_every == 0:
                record = {
                    "epoch": epoch,
                    "step": step,
                    "tokens_seen": tokens_seen,
                    "train_loss": evaluate(model, train_loader, eval_batches),
                    "val_loss": evaluate(model, val_loader, eval_batches),
                }
                history.append(record)
                if on_eval is not None:
                    on_eval(record)
    return history
