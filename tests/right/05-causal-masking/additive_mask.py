"""An additive mask of 0 and -inf, softmax by hand, functional dropout."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def causal_mask(seq_len, device=None):
    mask = torch.zeros(seq_len, seq_len, dtype=torch.bool, device=device)
    for row in range(seq_len):
        mask[row, : row + 1] = True
    return mask


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.n_embd = config.n_head, config.n_embd
        self.attn_pdrop, self.resid_pdrop = config.attn_pdrop, config.resid_pdrop
        self.c_attn = nn.Linear(self.n_embd, 3 * self.n_embd, bias=True)
        self.c_proj = nn.Linear(self.n_embd, self.n_embd, bias=True)
        self.scale = 1.0 / math.sqrt(self.n_embd // self.n_head)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.c_attn(x).reshape(batch, length, 3, self.n_head, width // self.n_head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        closed = torch.full((length, length), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
        scores = torch.matmul(q, k.transpose(-2, -1)) * self.scale + closed
        powers = (scores - scores.amax(-1, keepdim=True)).exp()
        weights = powers / powers.sum(-1, keepdim=True)
        weights = F.dropout(weights, self.attn_pdrop, self.training)
        out = torch.matmul(weights, v).permute(0, 2, 1, 3).reshape(batch, length, width)
        return F.dropout(self.c_proj(out), self.resid_pdrop, self.training)
