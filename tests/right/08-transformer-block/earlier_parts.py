"""Earlier parts, nn.LayerNorm, a subclass and a ModuleDict-free residual helper; extra attributes."""

import torch
from torch import nn

from common import problem


class Block(nn.Module):
    def residual(self, x, norm, sublayer):
        return sublayer(norm(x)) + x


class TransformerBlock(Block):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.mlp = problem(6).FeedForward(config)
        self.attn = problem(5).CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        for norm, sublayer in ((self.ln_1, self.attn), (self.ln_2, self.mlp)):
            x = self.residual(x, norm, sublayer)
        return x
