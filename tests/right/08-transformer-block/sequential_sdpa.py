"""A Sequential whose forward walks its own children two by two; fused attention."""
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F


class Attn(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, config.n_embd * 3, bias=True)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=True)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        qkv = self.c_attn(x).unflatten(-1, (3, self.config.n_head, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(
            *qkv.unbind(0), is_causal=True, dropout_p=self.attn_dropout.p if self.training else 0.0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).flatten(2)))


class TransformerBlock(nn.Sequential):
    def __init__(self, config):
        norm = lambda: nn.LayerNorm((config.n_embd,), config.layer_norm_epsilon)  # noqa: E731
        mlp = nn.Sequential(OrderedDict(
            c_fc=nn.Linear(config.n_embd, config.n_inner),
            act=nn.GELU(approximate="tanh"),
            c_proj=nn.Linear(config.n_inner, config.n_embd),
            dropout=nn.Dropout(config.resid_pdrop),
        ))
        super().__init__(OrderedDict(ln_1=norm(), attn=Attn(config), ln_2=norm(), mlp=mlp))
        self.width = config.n_embd

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 3 or x.shape[2] != self.width:
            raise ValueError("input shape %s does not fit (B, T, n_embd=%d)" % (tuple(x.shape), self.width))
        parts = list(self.children())
        for norm, layer in zip(parts[::2], parts[1::2]):
            x = torch.add(x, layer(norm(x)))
        return x
