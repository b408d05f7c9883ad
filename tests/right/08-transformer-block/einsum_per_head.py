"""Everything written here; the attention loops over the heads, dropout is functional, the mask is a buffer outside the state dict."""
import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x):
        var, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


class Attention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.heads, self.width = cfg.n_head, cfg.n_embd
        self.p_weights, self.p_out = cfg.attn_pdrop, cfg.resid_pdrop
        self.c_proj = nn.Linear(cfg.n_embd, cfg.n_embd)
        self.c_attn = nn.Linear(cfg.n_embd, 3 * cfg.n_embd)
        self.register_buffer("future", self._future(cfg.n_positions), persistent=False)

    @staticmethod
    def _future(n, device=None):
        return torch.triu(torch.ones(n, n, dtype=torch.bool, device=device), diagonal=1)

    def forward(self, x):
        t = x.size(1)
        hidden = self.future[:t, :t] if t <= self.future.size(0) else self._future(t, x.device)
        q, k, v = torch.chunk(self.c_attn(x), 3, dim=-1)
        d = self.width // self.heads
        outs = []
        for head in range(self.heads):
            part = slice(head * d, (head + 1) * d)
            scores = torch.einsum("btd,bsd->bts", q[..., part] * d ** -0.5, k[..., part])
            scores = torch.where(hidden, scores.new_tensor(float("-inf")), scores)
            weights = F.dropout(scores.softmax(-1), self.p_weights, self.training)
            outs.append(torch.einsum("bts,bsd->btd", weights, v[..., part]))
        return F.dropout(self.c_proj(torch.cat(outs, dim=-1)), self.p_out, self.training)


class Mlp(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.c_proj = nn.Linear(cfg.n_inner, cfg.n_embd)
        self.c_fc = nn.Linear(cfg.n_embd, cfg.n_inner)
        self.p = cfg.resid_pdrop

    def forward(self, x):
        a = self.c_fc(x)
        a = 0.5 * a * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (a + 0.044715 * a * a * a)))
        return F.dropout(self.c_proj(a), self.p, self.training)


class TransformerBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        # built in an unusual order
        self.mlp = Mlp(config)
        self.ln_2 = Norm(config.n_embd, config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_1 = Norm(config.n_embd, config.layer_norm_epsilon)

    def forward(self, x):
        wanted = self.attn.width
        if x.dim() != 3:
            raise ValueError(f"need 3 axes (B, T, {wanted}), got {x.dim()}: {tuple(x.shape)}")
        if x.size(2) != wanted:
            raise ValueError(f"width {x.size(2)} given, the block works at {wanted}")
        for norm, sublayer in ((self.ln_1, self.attn), (self.ln_2, self.mlp)):
            x = x + sublayer(norm(x))
        return x
