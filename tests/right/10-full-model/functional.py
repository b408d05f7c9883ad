"""Own norm class, F.sdpa, functional dropout, blocks as a subclass of the reference's, ids checked."""

import torch
import torch.nn.functional as F
from torch import nn

from common import GPT2Config, problem


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size)), eps

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.c_attn, self.c_proj = nn.Linear(c.n_embd, 3 * c.n_embd), nn.Linear(c.n_embd, c.n_embd)

    def forward(self, x):
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.c.n_head, C // self.c.n_head).transpose(1, 3)
        p = self.c.attn_pdrop if self.training else 0.0
        y = F.scaled_dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], dropout_p=p, is_causal=True)
        return F.dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)), self.c.resid_pdrop, self.training)


class Block(problem(8).TransformerBlock):
    def __init__(self, c):
        super().__init__(c)
        self.attn = Attention(c)
        self.ln_1, self.ln_2 = Norm(c.n_embd, c.layer_norm_epsilon), Norm(c.n_embd, c.layer_norm_epsilon)


class GPT2Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.ln_f = Norm(config.n_embd, config.layer_norm_epsilon)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(map(Block, [config] * config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.register_parameter("weight", self.wte.weight)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        T = input_ids.shape[-1]
        if not T <= self.config.n_positions:
            raise ValueError(f"{T=} n_positions={self.config.n_positions}")
        if int(input_ids.max()) >= self.config.vocab_size:
            raise ValueError("unknown token")
        x = F.embedding(input_ids, self.wte.weight) + self.wpe.weight[:T]
        x = F.dropout(x, self.config.embd_pdrop, self.training)
        for i in range(len(self.h)):
            x = self.h[i](x)
        return self.ln_f(x) @ self.lm_head.weight.t()
