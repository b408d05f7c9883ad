"""Sums go back, and the division by the count comes after the loop; segments are modules of their own."""

import torch
from torch import nn
from torch.nn import CrossEntropyLoss


def train_step(model, inputs, targets, micro_batch_size, lr, max_norm=None):
    if not micro_batch_size >= 1:
        raise ValueError(f"micro_batch_size is {micro_batch_size}")
    n = int((targets != -100).sum())
    if n < 1:
        raise ValueError("no targets")
    for p in model.parameters():
        p.grad = None
    criterion = CrossEntropyLoss(reduction="sum")
    total = 0.0
    for ids, wanted in zip(torch.split(inputs, micro_batch_size), torch.split(targets, micro_batch_size)):
        logits = model(ids)
        loss = criterion(logits.reshape(-1, logits.size(-1)), wanted.reshape(-1))
        loss.backward()
        total += float(loss)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    torch._foreach_div_(grads, n)
    if max_norm is not None:
        norm = torch.stack([g.norm() for g in grads]).norm()
        if norm > max_norm:
            torch._foreach_mul_(grads, (max_norm / norm).item())
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p.add_(p.grad, alpha=-lr)
    model.zero_grad()
    return total / n


class Segment(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


class CheckpointFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, run, x, *learning):
        ctx.run = run
        ctx.save_for_backward(x, torch.get_rng_state(), *learning)
        out = run(x)
        return out

    @staticmethod
    def backward(ctx, *grads):
        x, state, *learning = ctx.saved_tensors
        now = torch.get_rng_state()
        torch.set_rng_state(state)
        with torch.enable_grad():
            x = x.detach()
            if ctx.needs_input_grad[1]:
                x = x.requires_grad_()
            out = ctx.run(x)
        torch.set_rng_state(now)
        sources = ([x] if ctx.needs_input_grad[1] else []) + learning
        found = list(torch.autograd.grad(out, sources, grads, allow_unused=True))
        return (None, found.pop(0) if ctx.needs_input_grad[1] else None, *found)


def checkpoint(block, x):
    # Only those that learn are inputs of the Function.
    return CheckpointFunction.apply(block, x, *(p for p in block.parameters() if p.requires_grad))


class Checkpointed(nn.Module):
    def __init__(self, blocks, segment_size=1):
        super().__init__()
        if segment_size < 1:
            raise ValueError(f"segment_size must not be {segment_size}")
        self.segment_size = segment_size
        self.blocks = nn.ModuleList()
        for block in blocks:
            self.blocks.append(block)

    def forward(self, x):
        n, size = len(self.blocks), self.segment_size
        for k in range((n + size - 1) // size):
            x = checkpoint(Segment(self.blocks[k * size : (k + 1) * size]), x)
        return x
