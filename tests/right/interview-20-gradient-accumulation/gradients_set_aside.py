"""The second graph goes back by backward(), while what the parameters hold in p.grad is set aside."""

import torch
import torch.nn.functional as F
from torch import nn


def train_step(model, inputs, targets, micro_batch_size, lr, max_norm=None):
    if micro_batch_size < 1:
        raise ValueError(f"micro_batch_size {micro_batch_size} is below 1")
    keep = (targets != -100).sum()
    if keep.item() == 0:
        raise ValueError("no target that counts")
    for p in model.parameters():
        if p.grad is not None:
            p.grad.zero_()
    parts = []
    steps = -(-len(inputs) // micro_batch_size)
    for i in range(steps):
        rows = slice(i * micro_batch_size, min((i + 1) * micro_batch_size, len(inputs)))
        ids, wanted = inputs[rows], targets[rows]
        logits = model(ids)
        mask = wanted != -100
        # Only the logits of positions that count go into the loss.
        part = F.cross_entropy(logits[mask], wanted[mask], reduction="sum") / keep
        part.backward()
        parts.append(part.item())
    grads = [(p, p.grad) for p in model.parameters() if p.grad is not None]
    scale = 1.0
    if max_norm is not None:
        norm = sum((g**2).sum() for _, g in grads).sqrt().item()
        if norm > max_norm:
            scale = max_norm / norm
    with torch.no_grad():
        for p, g in grads:
            p.copy_(p - lr * scale * g)
    return sum(parts)


class Rerun(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, x, *params):
        ctx.block = block
        ctx.rng = torch.get_rng_state()
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        again = x.detach().requires_grad_(ctx.needs_input_grad[1])
        params = list(ctx.block.parameters())
        held = [p.grad for p in params]
        for p in params:
            p.grad = None
        with torch.random.fork_rng(devices=()):
            torch.set_rng_state(ctx.rng)
            with torch.enable_grad():
                out = ctx.block(again)
        torch.autograd.backward([out], [upstream])
        found = [p.grad for p in params]
        for p, grad in zip(params, held):
            p.grad = grad
        return None, again.grad, *found


def checkpoint(block, x):
    return Rerun.apply(block, x, *block.parameters())


class Checkpointed(nn.Module):
    def __init__(self, blocks, segment_size=1):
        super().__init__()
        if segment_size < 1:
            raise ValueError(f"segment_size {segment_size} is below 1")
        self.blocks, self.segment_size = nn.ModuleList(blocks), segment_size

    def forward(self, x):
        return self._from(0, x)

    def _from(self, start, x):
        if start >= len(self.blocks):
            return x
        segment = nn.Sequential(*self.blocks[start : start + self.segment_size])
        return self._from(start + self.segment_size, checkpoint(segment, x))
