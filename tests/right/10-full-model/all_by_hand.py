"""Nothing from the earlier parts but the config; einsum attention; the embedding takes the head's weight, not the other way round."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import GPT2Config

__all__ = ["GPT2Config", "GPT2Model"]


class _Norm(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(cfg.n_embd))
        self.bias = nn.Parameter(torch.zeros(cfg.n_embd))
        self.eps = cfg.layer_norm_epsilon

    def forward(self, x):
        d = x - x.mean(-1, True)
        return d / (d.pow(2).mean(-1, True) + self.eps).sqrt() * self.weight + self.bias


class _Attention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.h = cfg.n_head
        self.c_attn = nn.Linear(cfg.n_embd, 3 * cfg.n_embd)
        self.c_proj = nn.Linear(cfg.n_embd, cfg.n_embd)
        self.attn_dropout = nn.Dropout(cfg.attn_pdrop)
        self.resid_dropout = nn.Dropout(cfg.resid_pdrop)

    def forward(self, x, visible):
        b, t, c = x.shape
        qkv = self.c_attn(x).reshape(b, t, 3, self.h, c // self.h)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        s = torch.einsum("bthd,bshd->bhts", q, k) * (c // self.h) ** -0.5
        p = self.attn_dropout(s.masked_fill(visible.logical_not(), -torch.inf).softmax(dim=3))
        return self.resid_dropout(self.c_proj(torch.einsum("bhts,bshd->bthd", p, v).reshape(b, t, c)))


class _Mlp(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.c_fc = nn.Linear(cfg.n_embd, cfg.n_inner)
        self.c_proj = nn.Linear(cfg.n_inner, cfg.n_embd)
        self.dropout = nn.Dropout(cfg.resid_pdrop)

    def forward(self, x):
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class _Block(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = _Norm(cfg), _Attention(cfg), _Norm(cfg), _Mlp(cfg)

    def forward(self, x, visible):
        x = x + self.attn(self.ln_1(x), visible)
        return x + self.mlp(self.ln_2(x))


class GPT2Model(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.ln_f = _Norm(config)
        self.h = nn.ModuleList()
        while len(self.h) < config.n_layer:
            self.h.append(_Block(config))
        self.drop = nn.Dropout(p=config.embd_pdrop)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wte.weight = self.lm_head.weight

    def _check(self, ids: Tensor) -> None:
        if ids.ndim != 2:
            raise ValueError(f"need two axes (B, T), got {ids.ndim}: {list(ids.shape)}")
        if ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"token ids must be int64, got {ids.dtype}")
        if ids.size(1) > self.config.n_positions:
            raise ValueError(f"sequence of {ids.size(1)} is longer than n_positions={self.config.n_positions}")
        if ids.device.type != "meta" and ids.numel() > 0:
            bad = ids[(ids < 0) | (ids >= self.config.vocab_size)]
            if bad.numel() > 0:
                raise ValueError(f"token id {bad[0].item()} outside 0..{self.config.vocab_size - 1} (vocab_size={self.config.vocab_size})")

    def forward(self, input_ids: Tensor) -> Tensor:
        self._check(input_ids)
        t = input_ids.size(1)
        where = torch.arange(t, device=input_ids.device)
        visible = where[:, None] >= where[None, :]
        x = self.drop(self.wte(input_ids) + self.wpe(where)[None])
        for block in self.h:
            x = block(x, visible)
        return self.lm_head(self.ln_f(x))
