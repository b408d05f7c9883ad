"""The second call is one of torch.func.functional_call, on stand-ins for the parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


def train_step(
    model: nn.Module, inputs: Tensor, targets: Tensor, micro_batch_size: int, lr: float, max_norm: float | None = None
) -> float:
    if micro_batch_size < 1:
        raise ValueError(f"micro_batch_size = {micro_batch_size}")
    n = torch.count_nonzero(targets != -100).item()
    if n == 0:
        raise ValueError("no target counts")
    model.zero_grad()
    loss = 0.0
    ids, wanted = list(inputs.split(micro_batch_size)), list(targets.split(micro_batch_size))
    while ids:
        share = F.cross_entropy(model(ids.pop(0)).flatten(0, 1), wanted.pop(0).flatten(), reduction="sum") / n
        loss += share.item()
        share.backward()
    grads = {p: p.grad for p in model.parameters() if p.grad is not None}
    if max_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(list(grads), max_norm, torch.nn.utils.get_total_norm(list(grads.values())))
    for p in grads:
        p.data -= lr * p.grad
    return loss


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, names, x, *params):
        ctx.block, ctx.names, ctx.random = block, names, torch.get_rng_state()
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, grad):
        x, needs = ctx.saved_tensors[0].detach(), ctx.needs_input_grad
        x.requires_grad_(needs[2])
        mine = dict(ctx.block.named_parameters())
        twins = {name: mine[name].detach().requires_grad_(need) for name, need in zip(ctx.names, needs[3:])}
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.random)
        with torch.enable_grad():
            out = functional_call(ctx.block, twins, (x,))
        torch.set_rng_state(now)
        out.backward(grad)
        return None, None, x.grad, *(twin.grad for twin in twins.values())


def checkpoint(block: nn.Module, x: Tensor) -> Tensor:
    named = dict(block.named_parameters())
    return _Twice.apply(block, list(named), x, *named.values())


class Checkpointed(nn.Module):
    def __init__(self, blocks, segment_size: int = 1) -> None:
        super().__init__()
        if segment_size < 1:
            raise ValueError(f"segment_size = {segment_size}")
        self.blocks = nn.ModuleList(blocks)
        self.segment_size = segment_size

    def forward(self, x: Tensor) -> Tensor:
        for start in range(0, len(self.blocks), self.segment_size):
            x = checkpoint(nn.Sequential(*self.blocks[start : start + self.segment_size]), x)
        return x
