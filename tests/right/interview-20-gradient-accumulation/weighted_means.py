"""Means of micro-batches with their weights, an optimizer of torch's, and a Function with setup_context."""

import torch
import torch.nn.functional as F
from torch import nn


def train_step(model, inputs, targets, micro_batch_size, lr, max_norm=None):
    if micro_batch_size <= 0:
        raise ValueError(f"{micro_batch_size} is no size of a micro-batch")
    total = targets.ne(-100).sum().item()
    if not total:
        raise ValueError("every target is ignored")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.zero_grad(set_to_none=False)
    losses = []
    for first in range(0, inputs.shape[0], micro_batch_size):
        rows = slice(first, first + micro_batch_size)
        here = targets[rows].ne(-100).sum().item()
        if here == 0:
            continue
        mean = F.cross_entropy(model(inputs[rows]).transpose(1, 2), targets[rows])
        part = mean * (here / total)
        part.backward()
        losses.append(float(part))
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return sum(losses)


class Recompute(torch.autograd.Function):
    @staticmethod
    def forward(block, state, x, *weights):
        return block(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.block, ctx.state, x, *ctx.weights = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        after = torch.get_rng_state()
        torch.set_rng_state(ctx.state)
        try:
            with torch.enable_grad():
                copy = x.detach()
                copy.requires_grad = ctx.needs_input_grad[2]
                out = ctx.block(copy)
        finally:
            torch.set_rng_state(after)
        leaves = [copy, *ctx.weights]
        learn = [t for t in leaves if t.requires_grad]
        found = dict(zip(map(id, learn), torch.autograd.grad(out, learn, grad, allow_unused=True)))
        return None, None, *[found.get(id(t)) for t in leaves]


def checkpoint(block, x):
    return Recompute.apply(block, torch.get_rng_state(), x, *block.parameters())


class Checkpointed(nn.Module):
    def __init__(self, blocks, segment_size=1):
        super().__init__()
        if segment_size <= 0:
            raise ValueError(f"segment_size = {segment_size}")
        self.blocks = nn.ModuleList(list(blocks))
        self.size = segment_size

    def forward(self, x):
        blocks = list(self.blocks)
        while blocks:
            x = checkpoint(nn.Sequential(*blocks[: self.size]), x)
            blocks = blocks[self.size :]
        return x
