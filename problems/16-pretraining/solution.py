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
    # TODO(16): about 5 lines
    raise NotImplementedError("problem 16: optimizer_groups")


def learning_rate(
    step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    """The learning rate at a step: a straight line up from 0, then half a cosine down to min_lr.

    Args:
        step: 0 and up. It is max_lr at warmup_steps, and min_lr from total_steps on.

    Source: "Language Models are Few-Shot Learners", appendix B.
    """
    # TODO(16): about 6 lines. Warm-up, after the end, cosine
    raise NotImplementedError("problem 16: learning_rate")


def evaluate(model: nn.Module, loader: DataLoader, max_batches: int | None = None) -> float:
    """The mean cross-entropy over all tokens, in nats, with dropout off and without a graph.

    Args:
        max_batches: stop after so many; None takes all.

    Raises:
        ValueError: there is no batch to look at.
    """
    # TODO(16): about 12 lines. Mode and graph off, sum over the batches, mode back, mean
    raise NotImplementedError("problem 16: evaluate")


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
    # TODO(16): about 30 lines. Refuse, prepare, then for each batch: rate, loss, gradient, clip, step, record
    raise NotImplementedError("problem 16: pretrain")
