"""No p.grad at all: torch.autograd.grad for each micro-batch, sums in a list, and a norm written out."""

import math

import torch
from torch import nn


def train_step(model, inputs, targets, micro_batch_size, lr, max_norm=None):
    if micro_batch_size < 1:
        raise ValueError(f"micro_batch_size={micro_batch_size}")
    counts = targets >= 0
    if not counts.any():
        raise ValueError("nothing to learn from")
    params = [p for p in model.parameters() if p.requires_grad]
    sums = [torch.zeros_like(p) for p in params]
    total = torch.zeros(())
    for start in range(0, len(inputs), micro_batch_size):
        ids = inputs[start : start + micro_batch_size]
        wanted = targets[start : start + micro_batch_size]
        log_probs = torch.log_softmax(model(ids), dim=-1)
        of_targets = log_probs.gather(-1, wanted.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        loss = -of_targets[wanted >= 0].sum() / counts.sum()
        for s, g in zip(sums, torch.autograd.grad(loss, params, allow_unused=True)):
            if g is not None:
                s += g
        total += loss.detach()
    norm = math.sqrt(sum(float(s.square().sum()) for s in sums))
    factor = 1.0 if max_norm is None or norm <= max_norm else max_norm / norm
    for p, s in zip(params, sums):
        p.data.sub_(s, alpha=lr * factor)
    return total.item()


def checkpoint(block, x):
    names = list(dict(block.named_parameters()))

    class Again(torch.autograd.Function):
        """One for each call, which sees block by its closure."""

        @staticmethod
        def forward(ctx, x, *params):
            ctx.save_for_backward(x, *params)
            ctx.random = torch.get_rng_state()
            with torch.no_grad():
                return block(x)

        @staticmethod
        def backward(ctx, grad):
            x, *_ = ctx.saved_tensors
            mine = [block.get_parameter(name) for name in names]
            with torch.random.fork_rng(), torch.set_grad_enabled(True):
                torch.random.set_rng_state(ctx.random)
                x = x.clone().detach()
                if ctx.needs_input_grad[0]:
                    x.requires_grad_(True)
                out = block(x)
            results = []
            chosen = [i for i, t in enumerate([x, *mine]) if t.requires_grad]
            got = torch.autograd.grad([out], [[x, *mine][i] for i in chosen], [grad], allow_unused=True)
            for i in range(1 + len(mine)):
                results.append(got[chosen.index(i)] if i in chosen else None)
            return tuple(results)

    return Again.apply(x, *block.parameters())


class Checkpointed(nn.Module):
    def __init__(self, blocks, segment_size=1):
        if segment_size < 1:
            raise ValueError(f"a segment of {segment_size} blocks")
        super().__init__()
        self.blocks = blocks if isinstance(blocks, nn.ModuleList) else nn.ModuleList(blocks)
        self.segment_size = segment_size

    def forward(self, x):
        segment = []
        for block in self.blocks:
            segment.append(block)
            if len(segment) == self.segment_size:
                x, segment = checkpoint(nn.Sequential(*segment), x), []
        return checkpoint(nn.Sequential(*segment), x) if segment else x
