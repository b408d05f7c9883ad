"""Functional norms with the modules' parameters, attention by hand with an additive mask, Sequential mlp by names."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class TransformerBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.c = config
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(C, 3 * C), "c_proj": nn.Linear(C, C)})
        self.attn.forward = self.attention
        self.mlp = nn.Sequential(OrderedDict(
            c_fc=nn.Linear(C, config.n_inner), act=nn.GELU("tanh"),
            c_proj=nn.Linear(config.n_inner, C), dropout=nn.Dropout(config.resid_pdrop),
        ))
        self.ln_1.eps = self.ln_2.eps = config.layer_norm_epsilon

    def attention(self, h):
        B, T, C = h.shape
        q, k, v = self.attn["c_attn"](h).view(B, T, 3, self.c.n_head, -1).permute(2, 0, 3, 1, 4)
        mask = torch.ones(T, T, device=h.device, dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(-1, -2)) / k.shape[-1] ** 0.5
        w = scores.masked_fill(mask, torch.finfo(h.dtype).min).softmax(-1)
        w = F.dropout(w, self.c.attn_pdrop, self.training)
        out = self.attn["c_proj"]((w @ v).transpose(1, 2).reshape(B, T, C))
        return F.dropout(out, self.c.resid_pdrop, self.training)

    def forward(self, x):
        h = F.layer_norm(x, x.shape[-1:], self.ln_1.weight, self.ln_1.bias, self.ln_1.eps)
        x = x + self.attention(h)
        return x + self.mlp(self.ln_2(x))
