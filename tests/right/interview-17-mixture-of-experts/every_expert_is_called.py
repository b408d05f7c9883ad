"""Experts without tokens are called with no rows; a sparse matrix (N, n) puts each result back; named tuples."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Routing(NamedTuple):
    weights: torch.Tensor
    chosen: torch.Tensor


class Result(NamedTuple):
    output: torch.Tensor
    loss: torch.Tensor


def route(logits, k):
    n_expert = logits.shape[1]
    if not (isinstance(k, int) and 1 <= k <= n_expert):
        raise ValueError(f"k={k!r} does not lie in 1..{n_expert}")
    best = torch.topk(logits, k)
    odds = (best.values - best.values[:, :1]).exp()
    return Routing(odds / odds.sum(1, keepdim=True), best.indices)


def load_balance_loss(logits, chosen):
    n_tokens, n_expert = logits.shape
    counts = torch.histc(chosen.float(), bins=n_expert, min=0, max=n_expert - 1) if n_expert > 1 else chosen.new_tensor([chosen.numel()])
    return n_expert / (chosen.shape[1] * n_tokens**2) * (counts * logits.softmax(1).sum(0)).sum()


def mix(x, weights, chosen, experts):
    parts = []
    for e, expert in enumerate(experts):
        token, place = torch.nonzero(chosen == e, as_tuple=True)
        back = F.one_hot(token, len(x)).to(x.dtype).T * weights[token, place]  # (N, n)
        parts.append(back @ expert(x[token]))
    return torch.stack(parts).sum(0)


class Expert(nn.Module):
    def __init__(self, n_embd, n_inner):
        super().__init__()
        self.w1 = nn.Linear(n_embd, n_inner, bias=False)
        self.w2 = nn.Linear(n_inner, n_embd, bias=False)
        self.w3 = nn.Linear(n_embd, n_inner, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class MixtureOfExperts(nn.Module):
    def __init__(self, n_embd, n_inner, n_expert, k):
        super().__init__()
        if not 1 <= k <= n_expert:
            raise ValueError(f"k={k} does not lie in 1..{n_expert}")
        self.add_module("router", nn.Linear(n_embd, n_expert, bias=False))
        self.add_module("experts", nn.ModuleList(Expert(n_embd, n_inner) for _ in range(n_expert)))
        self.k = k

    def forward(self, x):
        rows = torch.cat(list(x))
        logits = self.router(rows)
        routing = route(logits, self.k)
        output = mix(rows, routing.weights, routing.chosen, self.experts)
        return Result(torch.stack(output.split(x.shape[1])), load_balance_loss(logits, routing.chosen))
