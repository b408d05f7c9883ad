"""Pretraining: what AdamW decays, how its rate moves, what the loss is now, and the loop around them.

Shapes: B batch, T tokens, V vocab_size. A loader yields (inputs (B, T), targets (B, T)), both int64.
"""

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from common import problem

language_model_loss = problem(12).language_model_loss


def optimizer_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameter groups for torch.optim.AdamW: every trainable parameter, once.

    Matrices, embeddings among them, decay; biases and the parameters of norms do not.

    Source: "Language Models are Few-Shot Learners", appendix B.
    """
    # lesson: about 5 lines
    trainable = [p for p in model.parameters() if p.requires_grad]  # a tied matrix comes once
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rate(
    step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    """The learning rate at a step: a straight line up from 0, then half a cosine down to min_lr.

    Args:
        step: 0 and up. It is max_lr at warmup_steps, and min_lr from total_steps on.

    Source: "Language Models are Few-Shot Learners", appendix B.
    """
    # lesson: about 6 lines. Warm-up, after the end, cosine
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (max_lr - min_lr)


def evaluate(model: nn.Module, loader: DataLoader, max_batches: int | None = None) -> float:
    """The mean cross-entropy over all tokens, in nats, with dropout off and without a graph.

    Args:
        max_batches: stop after so many; None takes all.

    Raises:
        ValueError: there is no batch to look at.
    """
    # lesson: about 12 lines. Mode and graph off, sum over the batches, mode back, mean
    was_training = model.training
    total, tokens = 0.0, 0
    model.eval()
    with torch.no_grad():
        for inputs, targets in islice(loader, max_batches):
            # Batches differ in size, so the means are turned back into sums.
            total += _loss(model, inputs, targets).item() * targets.numel()
            tokens += targets.numel()
    model.train(was_training)
    if not tokens:
        raise ValueError(f"no batch to evaluate on (max_batches is {max_batches})")
    return total / tokens


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a batch (B, T), wherever the model lies."""
    device = next(model.parameters()).device
    return language_model_loss(model(inputs.to(device)), targets.to(device))


def pretrain(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    epochs: int,
    *,
    max_lr: float,
    min_lr: float,
    warmup_steps: int,
    weight_decay: float,
    eval_every: int,
    eval_batches: int,
    grad_clip: float | None = 1.0,
    on_eval: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train with AdamW, one update for each batch, and look at both losses every so often.

    Args:
        max_lr, min_lr, warmup_steps: what `learning_rate` is asked with. Update number s, counted
            from 1, has the rate of step s; total_steps is epochs * len(train_loader).
        weight_decay: that of the matrices.
        eval_every: updates between two records.
        eval_batches: each loss of a record is `evaluate`'s, over at most so many batches.
        grad_clip: the largest norm of all gradients together; None leaves them alone.
        on_eval: is called with each new record.

    Returns:
        A record for each evaluation: epoch (from 1), step, tokens_seen, train_loss, val_loss.

    Raises:
        ValueError: epochs or eval_every below 1, or a train_loader without a batch.
    """
    # lesson: about 30 lines. Refuse, prepare, then for each batch: rate, loss, gradient, clip, step, record
    counts = {"epochs": epochs, "eval_every": eval_every, "len(train_loader)": len(train_loader)}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), betas=(0.9, 0.95))
    total_steps = epochs * len(train_loader)
    history, step, tokens_seen = [], 0, 0
    model.train()
    for epoch in range(1, epochs + 1):
        for inputs, targets in train_loader:
            step += 1
            rate = learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = _loss(model, inputs, targets)
            optimizer.zero_grad()
            loss.backward()
            if grad_clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
            optimizer.step()
            tokens_seen += targets.numel()
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
