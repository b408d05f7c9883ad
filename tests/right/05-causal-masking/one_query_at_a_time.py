"""A loop over the queries, each with the keys up to its own: no score is computed to be thrown away."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def causal_mask(seq_len, device=None):
    mask = torch.full((seq_len, seq_len), False, device=device)
    mask[tuple(torch.tril_indices(seq_len, seq_len, device=device))] = True
    return mask


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.c_attn, self.c_proj = (nn.Linear(config.n_embd, n * config.n_embd) for n in (3, 1))

    def forward(self, x):
        H = self.config.n_head
        q, k, v = self.c_attn(x).unflatten(2, (3, H, -1)).permute(2, 0, 3, 1, 4)
        return F.dropout(self.c_proj(torch.stack([self._at(t, q, k, v) for t in range(x.shape[1])], dim=1)), self.config.resid_pdrop, self.training)

    def _at(self, t, q, k, v):
        """What token t gets: (B, H, T, D) three times -> (B, C)."""
        scores = torch.einsum("bhd,bhsd->bhs", q[:, :, t], k[:, :, : t + 1]) / q.shape[-1] ** 0.5
        weights = F.dropout((scores - scores.logsumexp(2, keepdim=True)).exp(), self.config.attn_pdrop, self.training)
        return torch.einsum("bhs,bhsd->bhd", weights, v[:, :, : t + 1]).flatten(1)
