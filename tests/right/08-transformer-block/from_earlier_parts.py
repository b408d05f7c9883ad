from torch import nn

from common import GPT2Config, problem

CausalSelfAttention = problem(5).CausalSelfAttention
FeedForward = problem(6).FeedForward
LayerNorm = problem(7).LayerNorm


class TransformerBlock(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_embd = config.n_embd
        self.ln_1 = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x):
        if x.dim() != 3 or x.shape[-1] != self.n_embd:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected (B, T, {self.n_embd})")
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))
