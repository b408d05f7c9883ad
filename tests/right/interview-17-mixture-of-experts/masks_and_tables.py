"""A table (N, E) of weights, -inf where nothing was chosen; a boolean mask for each expert; out of place throughout."""

import torch
import torch.nn.functional as F
from torch import nn


def check(k, E):
    if k <= 0:
        raise ValueError(f"at least one expert has to work, not {k}")
    if k > E:
        raise ValueError(f"there are no {k} experts")


def route(logits, k):
    check(k, logits.shape[-1])
    rest, columns = logits.detach().clone(), []
    for _ in range(k):  # the largest, then the largest of the rest
        columns.append(rest.argmax(-1, keepdim=True))
        rest = rest.scatter(-1, columns[-1], -torch.inf)
    chosen = torch.cat(columns, -1)
    hidden = torch.ones_like(logits, dtype=torch.bool).scatter(-1, chosen, False)
    return logits.masked_fill(hidden, -torch.inf).softmax(-1).gather(-1, chosen), chosen


def load_balance_loss(logits, chosen):
    E = logits.shape[-1]
    with torch.no_grad():
        f = torch.stack([(chosen == e).to(logits.dtype).mean() for e in range(E)])
    return (f * logits.softmax(-1)).sum(-1).mean() * E


def mix(x, weights, chosen, experts):
    out = 0 * x
    for e in range(len(experts)):
        mine = chosen == e
        busy = mine.any(1)
        weight = (weights * mine).sum(1)[busy]
        if busy.any():
            rows = busy.nonzero()[:, 0]
            out = out.index_put((rows,), weight[:, None] * experts[e](x[busy]), accumulate=True)
    return out


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
        check(k, n_expert)
        super().__init__()
        self.k = k
        self.router = nn.Linear(in_features=n_embd, out_features=n_expert, bias=False)
        self.experts = nn.ModuleList(Expert(n_embd, n_inner) for _ in range(n_expert))

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        logits = self.router(x).reshape(len(rows), -1)
        weights, chosen = route(logits, self.k)
        return mix(rows, weights, chosen, self.experts).unflatten(0, x.shape[:-1]), load_balance_loss(logits, chosen)
