"""logsumexp for every softmax, double precision on the way, advanced assignment with +=, an expert's work under a name."""

import torch
from torch import nn
from torch.nn.functional import linear, silu


def route(logits, k):
    if k < 1 or logits.shape[-1] < k:
        raise ValueError(f"no {k} of {logits.shape[-1]}")
    values, chosen = logits.double().sort(dim=-1, descending=True)
    values, chosen = values[:, :k], chosen[:, :k]
    return (values - values.logsumexp(-1, keepdim=True)).exp().type_as(logits), chosen


def load_balance_loss(logits, chosen):
    logits = logits.double()
    E = logits.shape[-1]
    mean = (logits - logits.logsumexp(-1, keepdim=True)).exp().sum(0) / len(logits)
    share = torch.zeros_like(mean, requires_grad=False)
    share = share.scatter_add(0, chosen.flatten(), torch.ones_like(chosen.flatten(), dtype=share.dtype))
    return (E * (share / share.sum()) @ mean).float()


def mix(x, weights, chosen, experts):
    out = x.new_zeros(x.shape)
    for e in sorted(set(chosen.flatten().tolist())):
        token, place = torch.where(chosen == e)
        result = experts[e](x.index_select(0, token))
        out[token] += result * weights[token, place].view(-1, 1)
    return out


class Expert(nn.Module):
    def __init__(self, n_embd, n_inner):
        super().__init__()
        self.w1 = nn.Linear(n_embd, n_inner, bias=False)
        self.w2 = nn.Linear(n_inner, n_embd, bias=False)
        self.w3 = nn.Linear(n_embd, n_inner, bias=False)

    def forward(self, x):
        return self.w2(silu(self.w1(x)) * self.w3(x))


class MixtureOfExperts(nn.Module):
    def __init__(self, n_embd, n_inner, n_expert, k):
        super().__init__()
        if k > n_expert:
            raise ValueError(f"k = {k} is more than the {n_expert} experts")
        if k < 1:
            raise ValueError(f"k = {k} is less than one expert")
        self.k = k
        self.router = nn.Linear(n_embd, n_expert, bias=False)
        self.experts = nn.ModuleList([Expert(n_embd, n_inner) for _ in range(n_expert)])

    def forward(self, x):
        shape = x.shape
        x = x.contiguous().view(-1, shape[-1])
        logits = linear(x, self.router.weight)
        weights, chosen = route(logits, self.k)
        return mix(x, weights, chosen, self.experts).view(shape), load_balance_loss(logits, chosen)
