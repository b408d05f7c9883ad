"""A float mask made once a call and handed to every block; queries, keys and values by einsum; forward in steps."""

from __future__ import annotations

from dataclasses import fields

import torch
import torch.nn as nn
import torch.nn.functional as F

from common import problem

GPT2Config = problem(9).GPT2Config
FeedForward = problem(6).FeedForward


class _Attend(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.heads = cfg.n_head
        self.c_attn = nn.Linear(cfg.n_embd, cfg.n_embd * 3)
        self.c_proj = nn.Linear(cfg.n_embd, cfg.n_embd)
        self.attn_dropout, self.resid_dropout = nn.Dropout(cfg.attn_pdrop), nn.Dropout(cfg.resid_pdrop)

    def forward(self, x, mask):
        w = self.c_attn.weight.unflatten(0, (3, self.heads, -1))
        b = self.c_attn.bias.unflatten(0, (3, self.heads, 1, -1))
        q, k, v = torch.einsum("btc,nhdc->nbhtd", x, w) + b[:, None]
        p = self.attn_dropout.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
        w = self.c_proj.weight.unflatten(1, (self.heads, -1))
        return self.resid_dropout(torch.einsum("bhtd,chd->btc", y, w) + self.c_proj.bias)


class _Layer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.ln_1 = nn.LayerNorm(cfg.n_embd, eps=cfg.layer_norm_epsilon)
        self.attn = _Attend(cfg)
        self.ln_2 = nn.LayerNorm(cfg.n_embd, eps=cfg.layer_norm_epsilon)
        self.mlp = FeedForward(cfg)

    def forward(self, x, mask):
        a = x + self.attn(self.ln_1(x), mask)
        return a + self.mlp(self.ln_2(a))


class GPT2Model(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        assert {f.name for f in fields(config)} >= {"n_layer", "n_head"}
        self.config = config
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([_Layer(config) for _ in range(config.n_layer)])
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        del self.lm_head.weight
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids):
        if (T := input_ids.size(-1)) > (most := self.config.n_positions):
            raise ValueError(f"at most {most} tokens fit, these are {T}")
        x = self._embedded(input_ids, T)
        mask = torch.full((T, T), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        for layer in self.h:
            x = layer(x, mask)
        return self.lm_head(self.ln_f(x))

    def _embedded(self, ids, T):
        places = torch.arange(T, device=ids.device).expand_as(ids)
        return self.drop(self.wte(ids) + self.wpe(places))
