"""A trainer class; the first update is step 1 of the schedule; groups by a sorted partition of names."""
import math
from contextlib import contextmanager

import torch
from torch import nn


def optimizer_groups(model, weight_decay):
    by_name = dict(model.named_parameters())  # each shared parameter under its first name only
    big = sorted(name for name, p in by_name.items() if len(p.shape) > 1)
    small = sorted(set(by_name) - set(big))
    return [
        {"params": [by_name[name] for name in names], "weight_decay": decay}
        for names, decay in ((big, float(weight_decay)), (small, 0.0))
        if names
    ]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if warmup_steps > total_steps:
        raise ValueError(f"the warm-up of {warmup_steps} steps is longer than {total_steps}, the whole training")
    if step < 0:
        raise ValueError(f"step {step} lies before 0")
    warm = step / warmup_steps if step < warmup_steps else 1.0
    if warm < 1.0:
        return max_lr * warm
    share = 1.0 if step >= total_steps else (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr if share == 1.0 else min_lr + (max_lr - min_lr) * (1.0 + math.cos(math.pi * share)) / 2.0


@contextmanager
def quiet(model):
    was = model.training
    model.eval()
    try:
        with torch.set_grad_enabled(False):
            yield
    finally:
        model.train(was)


class Trainer:
    def __init__(self, model, loader):
        self.model, self.loader = model, loader
        self.criterion = nn.CrossEntropyLoss(reduction="none")

    def losses(self, inputs, targets):
        device = next(iter(self.model.parameters()), inputs).device
        logits = self.model(inputs.to(device))
        return self.criterion(logits.transpose(1, 2), targets.to(device))

    def mean_loss(self, limit):
        values = []
        with quiet(self.model):
            for number, (inputs, targets) in enumerate(self.loader):
                if limit is not None and number >= limit:
                    break
                values.append(self.losses(inputs, targets).reshape(-1))
        if not values:
            raise ValueError(f"an empty loader (0 batches, limit {limit}) has no loss")
        return torch.cat(values).mean().item()


def evaluate(model, loader, max_batches=None):
    return Trainer(model, loader).mean_loss(max_batches)


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every, eval_batches,
             grad_clip=1.0, on_eval=None):
    if epochs < 1:
        raise ValueError(f"epochs {epochs} is below 1")
    if eval_every < 1:
        raise ValueError(f"eval_every {eval_every} is below 1")
    if not len(train_loader):
        raise ValueError("train_loader has 0 batches, the least is 1")
    trainer = Trainer(model, train_loader)
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), betas=(0.9, 0.95))
    records, seen, step = [], 0, 0
    for epoch in range(1, 1 + epochs):
        for inputs, targets in train_loader:
            step += 1
            rate = learning_rate(step, max_lr, min_lr, warmup_steps, epochs * len(train_loader))
            for group in optimizer.param_groups:
                group.update(lr=rate)
            model.train()
            loss = trainer.losses(inputs, targets).mean()
            optimizer.zero_grad()
            loss.backward()
            if grad_clip is not None:
                nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=grad_clip)
            optimizer.step()
            seen += targets.numel()
            if step % eval_every:
                continue
            record = {"epoch": epoch, "step": step, "tokens_seen": seen, "train_loss": loss.item()}
            record["val_loss"] = evaluate(model, val_loader, max_batches=eval_batches)
            records.append(record)
            if callable(on_eval):
                on_eval(record)
    return records
