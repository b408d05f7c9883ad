"""All choices sorted by expert once, cut into pieces, and put back by one index_add; softmax first, then a division."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def route(logits, k):
    n_expert = logits.shape[1]
    if k < 1 or k > n_expert:
        raise ValueError(f"cannot choose k={k} experts of {n_expert}")
    probs = torch.softmax(logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits, dim=1)
    order = torch.argsort(logits, dim=1, descending=True)[:, :k]
    picked = torch.gather(probs, 1, order)
    return (picked / picked.sum(1, keepdim=True)).to(logits.dtype), order


def load_balance_loss(logits, chosen):
    E = logits.shape[1]
    one_hot = F.one_hot(chosen.reshape(-1), E).to(logits.dtype)
    return E * torch.dot(one_hot.float().mean(0), F.softmax(logits.float(), dim=1).mean(0))


def mix(x, weights, chosen, experts):
    n, k = chosen.shape
    flat = chosen.reshape(-1)
    order = flat.argsort(stable=True)
    token = order // k
    counts = torch.bincount(flat, minlength=len(experts)).tolist()
    results = []
    for expert, rows in zip(experts, x[token].split(counts)):
        results.append(expert(rows))
    scaled = torch.cat(results) * weights.reshape(-1)[order][:, None]
    return torch.zeros(n, x.shape[1], dtype=x.dtype, device=x.device).index_add(0, token, scaled)


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
        if k < 1 or k > n_expert:
            raise ValueError(f"k={k} of {n_expert} experts")
        self.k, self.n_embd = k, n_embd
        self.experts = nn.ModuleList([Expert(n_embd, n_inner) for _ in range(n_expert)])
        self.router = nn.Linear(n_embd, n_expert, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        flat = x.reshape(B * T, C)
        logits = self.router(flat)
        weights, chosen = route(logits, self.k)
        return mix(flat, weights, chosen, self.experts).view(B, T, C), load_balance_loss(logits, chosen)
