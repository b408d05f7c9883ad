"""As in transformers' Mixtral: a one-hot mask (E, k, N), torch.where for each expert, and only experts that were hit."""

import torch
from torch import nn
from torch.nn import functional as F


def route(logits, k):
    E = logits.size(-1)
    if k not in range(1, E + 1):
        raise ValueError("%d experts of %d" % (k, E))
    probs = F.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    weights, chosen = torch.topk(probs, k, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights.to(logits.dtype), logits.topk(k, dim=-1).indices


def load_balance_loss(logits, chosen):
    E, k = logits.size(-1), chosen.size(-1)
    mask = F.one_hot(chosen, E)  # (N, k, E)
    tokens_per_expert = mask.float().mean(dim=0)  # (k, E)
    router_prob_per_expert = logits.softmax(-1).mean(dim=0)
    return E * torch.sum(tokens_per_expert * router_prob_per_expert.unsqueeze(0)) / k


def mix(x, weights, chosen, experts):
    final = torch.zeros((x.size(0), x.size(1)), dtype=x.dtype, device=x.device)
    mask = F.one_hot(chosen, num_classes=len(experts)).permute(2, 1, 0)
    hit = torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero()
    for e in hit:
        idx, top_x = torch.where(mask[e].squeeze(0))
        current = experts[int(e)](x[None, top_x].reshape(-1, x.size(1))) * weights[top_x, idx, None]
        final.index_add_(0, top_x, current.to(x.dtype))
    return final


class Expert(nn.Module):
    def __init__(self, n_embd, n_inner):
        super().__init__()
        self.w1, self.w3 = (nn.Linear(n_embd, n_inner, bias=False) for _ in range(2))
        self.w2 = nn.Linear(n_inner, n_embd, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class MixtureOfExperts(nn.Module):
    def __init__(self, n_embd, n_inner, n_expert, k):
        super().__init__()
        if not 0 < k <= n_expert:
            raise ValueError("k is %d" % k)
        self.top_k = k
        self.router = nn.Linear(n_embd, n_expert, bias=False)
        self.experts = nn.ModuleList()
        for _ in range(n_expert):
            self.experts.append(Expert(n_embd, n_inner))

    def forward(self, x):
        batch, length, width = x.shape
        x = x.reshape(-1, width)
        logits = self.router(x)
        weights, chosen = route(logits, self.top_k)
        out = mix(x, weights, chosen, self.experts)
        return out.reshape(batch, length, width), load_balance_loss(logits, chosen)
