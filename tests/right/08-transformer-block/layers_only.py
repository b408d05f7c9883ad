"""The parts are containers of layers and nothing more: all of the computing stands in the block's forward, tokens flattened."""

import torch
import torch.nn.functional as F
from torch import nn


class TransformerBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.ln_1 = nn.LayerNorm(C, eps=config.layer_norm_epsilon)
        self.attn = nn.ModuleDict(dict(c_attn=nn.Linear(C, 3 * C), c_proj=nn.Linear(C, C)))
        self.ln_2 = nn.LayerNorm(C, eps=config.layer_norm_epsilon)
        self.mlp = nn.ModuleDict(dict(c_fc=nn.Linear(C, config.n_inner), c_proj=nn.Linear(config.n_inner, C)))
        self.heads, self.p_attn, self.p_resid = config.n_head, config.attn_pdrop, config.resid_pdrop

    def forward(self, x):
        B, T, C = x.shape
        stream = x.clone().reshape(B * T, C)
        qkv = self.attn["c_attn"](self.ln_1(stream)).reshape(B, T, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        p = self.p_attn if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p)
        mixed = self.attn["c_proj"](mixed.permute(0, 2, 1, 3).reshape(B * T, C))
        stream = stream + F.dropout(mixed, self.p_resid, self.training)
        inner = F.gelu(self.mlp["c_fc"](self.ln_2(stream)), approximate="tanh")
        stream = torch.add(stream, F.dropout(self.mlp["c_proj"](inner), self.p_resid, self.training))
        return stream.reshape(B, T, C)
