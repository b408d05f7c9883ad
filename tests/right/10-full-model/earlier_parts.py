"""Earlier parts; a persistent position buffer; F.linear with wte for the head; Sequential application."""

import functools

import torch
import torch.nn.functional as F
from torch import nn

from common import problem

GPT2Config = problem(9).GPT2Config


class GPT2Model(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList()
        for _ in range(config.n_layer):
            self.h.append(problem(8).TransformerBlock(config))
        self.ln_f = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight
        self.config = config
        self.register_buffer("position_ids", torch.arange(config.n_positions)[None])

    def embed(self, input_ids):
        n = input_ids.shape[1]
        if n > self.config.n_positions:
            raise ValueError("too long: " + str(n) + " > " + str(self.config.n_positions))
        return self.drop(self.wte(input_ids) + self.wpe(self.position_ids[:, :n]))

    def forward(self, input_ids):
        x = functools.reduce(lambda x, block: block(x), self.h, self.embed(input_ids))
        return F.linear(self.ln_f(x), self.wte.weight)
