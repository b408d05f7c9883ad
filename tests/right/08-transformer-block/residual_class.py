"""One residual class used twice, attention by einsum with an additive mask made in each call, GELU by its formula."""

import math

import torch
from torch import Tensor, nn


class Attend(nn.Module):
    def __init__(self, width: int, heads: int, p_weights: float, p_out: float) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, width * 3)
        self.c_proj = nn.Linear(width, width)
        self.on_weights, self.on_output = nn.Dropout(p_weights), nn.Dropout(p_out)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.c_attn(x).reshape(b, t, 3, self.heads, c // self.heads).unbind(2)
        scores = torch.einsum("bihd,bjhd->bhij", q, k).mul(1 / math.sqrt(c // self.heads))
        scores = scores + torch.full((t, t), -math.inf, dtype=x.dtype, device=x.device).triu(1)
        scores = scores - scores.amax(-1, keepdim=True)
        weights = scores.exp()
        weights = self.on_weights(weights / weights.sum(-1, keepdim=True))
        return self.on_output(self.c_proj(torch.einsum("bhij,bjhd->bihd", weights, v).reshape(b, t, c)))


class Bend(nn.Module):
    def __init__(self, width: int, inner: int, p: float) -> None:
        super().__init__()
        self.c_fc, self.c_proj, self.p = nn.Linear(width, inner), nn.Linear(inner, width), p

    def forward(self, x: Tensor) -> Tensor:
        a = self.c_fc(x)
        a = a * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (a + 0.044715 * a.pow(3)))
        return nn.functional.dropout(self.c_proj(a), self.p, training=self.training)


class Beside:
    """A residual path around norm and sublayer; holds no parameters, so that names stay those of the block."""

    def __init__(self, norm: nn.Module, sublayer: nn.Module) -> None:
        self.steps = (norm, sublayer)

    def __call__(self, x: Tensor) -> Tensor:
        h = x
        for step in self.steps:
            h = step(h)
        return h.add(x)


class TransformerBlock(nn.Module):
    def __init__(self, config) -> None:
        super().__init__()
        for name in ("ln_1", "ln_2"):
            setattr(self, name, nn.LayerNorm(config.n_embd, config.layer_norm_epsilon))
        self.attn = Attend(config.n_embd, config.n_head, config.attn_pdrop, config.resid_pdrop)
        self.mlp = Bend(config.n_embd, config.n_inner, config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        first, second = Beside(self.ln_1, self.attn), Beside(self.ln_2, self.mlp)
        return second(first(x))
