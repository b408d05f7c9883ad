"""The second call by torch.func-like means: a helper gives result and pullback; a generator makes micro-batches."""

import contextlib

import torch
import torch.nn.functional as F
from torch import nn


@contextlib.contextmanager
def random_state(state):
    before = torch.get_rng_state()
    torch.set_rng_state(state)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def micro_batches(inputs, targets, n):
    first = 0
    while first < len(inputs):
        yield inputs[first : first + n], targets[first : first + n]
        first += n


def train_step(model, inputs, targets, micro_batch_size, lr, max_norm=None):
    if micro_batch_size < 1:
        raise ValueError("micro_batch_size: " + str(micro_batch_size))
    weight = (targets != -100).float()
    if weight.sum() == 0:
        raise ValueError("no target counts")
    model.zero_grad(set_to_none=True)
    loss = torch.zeros((), dtype=torch.float64)
    for ids, wanted in micro_batches(inputs, targets, micro_batch_size):
        each = F.cross_entropy(model(ids).mT, wanted, reduction="none")
        share = each.sum().div(weight.sum())
        share.backward()
        loss += share.detach()
    learning = [p for p in model.parameters() if p.grad is not None]
    if max_norm is not None:
        flat = torch.cat([p.grad.reshape(-1) for p in learning])
        scale = min(1.0, max_norm / float(torch.linalg.vector_norm(flat)))
        for p in learning:
            p.grad.mul_(scale)
    for p in learning:
        p.detach().sub_(lr * p.grad)
    return float(loss)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, *tensors):
        ctx.block = block
        ctx.state = torch.get_rng_state().clone()
        ctx.save_for_backward(*tensors)
        return block(tensors[0])

    @staticmethod
    def backward(ctx, grad):
        x = ctx.saved_tensors[0]
        wants = list(ctx.needs_input_grad[1:])
        leaf = x.detach()
        if wants[0]:
            leaf.requires_grad_()
        with torch.enable_grad(), random_state(ctx.state):
            y = ctx.block(leaf)
        gives = []
        pool = [leaf] + list(ctx.block.parameters())
        asked = [t for t, w in zip(pool, wants) if w]
        answers = list(torch.autograd.grad(y, asked, grad_outputs=grad, allow_unused=True, materialize_grads=True))
        for want in wants:
            gives.append(answers.pop(0) if want else None)
        return tuple([None] + gives)


def checkpoint(block, x):
    return _Function.apply(block, x, *block.parameters())


class Checkpointed(nn.Module):
    def __init__(self, blocks, segment_size=1):
        super().__init__()
        if segment_size < 1:
            raise ValueError(str(segment_size))
        self.blocks = nn.ModuleList(blocks)
        self._cuts = [*range(0, len(self.blocks), segment_size), len(self.blocks)]

    def forward(self, x):
        for a, b in zip(self._cuts, self._cuts[1:]):
            x = checkpoint(nn.Sequential(*self.blocks[a:b]), x)
        return x
