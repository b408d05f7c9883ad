"""A small trainer class, SequentialLR-like lookup table of rates, records as a dict subclass."""
import itertools
import math

import torch
from torch import nn

from common import problem


class Record(dict):
    __getattr__ = dict.__getitem__


def optimizer_groups(model: nn.Module, weight_decay: float):
    names = {"decay": [], "no decay": []}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        spared = len(p.shape) == 1
        names["no decay" if spared else "decay"].append((name, p))
    return [
        {"params": names["decay"], "weight_decay": weight_decay},
        {"params": names["no decay"], "weight_decay": 0.0},
    ]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if 0 <= step < warmup_steps:
        return max_lr / warmup_steps * step
    if step < total_steps:
        theta = math.radians(180 * (step - warmup_steps) / (total_steps - warmup_steps))
        middle, swing = (max_lr + min_lr) / 2, (max_lr - min_lr) / 2
        return middle + swing * math.cos(theta)
    return min_lr


def evaluate(model, loader, max_batches=None):
    batches = list(loader if max_batches is None else itertools.islice(loader, max_batches))
    if not batches:
        raise ValueError("evaluate was given no batch")
    training = model.training
    model.train(False)
    grad = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    device = [p.device for p in model.parameters()][0]
    try:
        pairs = []
        for x, y in batches:
            loss = problem(12).language_model_loss(model(x.to(device)), y.to(device))
            pairs.append((y.size(0) * y.size(1), loss.item()))
    finally:
        torch.set_grad_enabled(grad)
        model.train(training)
    return math.fsum(n * loss for n, loss in pairs) / sum(n for n, _ in pairs)


class Trainer:
    def __init__(self, model, rates, weight_decay, grad_clip):
        self.model, self.rates, self.grad_clip = model, rates, grad_clip
        self.optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), lr=rates[0], betas=(0.9, 0.95))
        self.step = self.tokens = 0

    def learn(self, inputs, targets):
        device = next(self.model.parameters()).device
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[self.step]
        self.optimizer.zero_grad(set_to_none=False)
        logits = self.model(inputs.to(device))
        nn.CrossEntropyLoss()(logits.reshape(-1, logits.shape[-1]), targets.to(device).reshape(-1)).backward()
        if self.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=self.grad_clip, norm_type=2)
        self.optimizer.step()
        self.step += 1
        self.tokens += targets.nelement()


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every,
             eval_batches, grad_clip=1.0, on_eval=None):
    if min(epochs, eval_every) < 1:
        raise ValueError("epochs and eval_every start at 1, got %d and %d" % (epochs, eval_every))
    total = epochs * len(train_loader)
    if total == 0:
        raise ValueError("no training data")
    rates = [learning_rate(s + 1, max_lr, min_lr, warmup_steps, total) for s in range(total)]
    trainer = Trainer(model, rates, weight_decay, grad_clip)
    history = []
    for epoch in range(epochs):
        for pair in train_loader:
            trainer.learn(*pair)
            if not trainer.step % eval_every:
                train_loss, val_loss = (evaluate(model, part, eval_batches) for part in (train_loader, val_loader))
                record = Record(epoch=epoch + 1, step=trainer.step, tokens_seen=trainer.tokens, train_loss=train_loss, val_loss=val_loss)
                history += [record]
                if callable(on_eval):
                    on_eval(record)
    return history
