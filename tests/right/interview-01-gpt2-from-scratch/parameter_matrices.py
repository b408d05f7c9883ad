import math

import torch
import torch.nn.functional as F
from torch.nn import Module, ModuleList, Parameter


def matrix(*shape, fan_in):
    return Parameter(torch.empty(*shape).uniform_(-1, 1) * math.sqrt(3.0 / fan_in))


class CausalSelfAttention(Module):
    # weights live in raw tensors: w_in (3, H, C, D), w_out (H, D, C)
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        for name in ("embed_dim", "num_heads", "block_size"):
            value = locals()[name]
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name}: {value!r} is not an integer >= 1")
            if value <= 0:
                raise ValueError(f"{name}: {value} is below 1")
        if embed_dim // num_heads * num_heads != embed_dim:
            raise ValueError(f"num_heads {num_heads} must divide embed_dim {embed_dim}")
        if not 0.0 <= dropout_p < 1.0:
            raise ValueError(f"dropout_p {dropout_p} not in [0, 1)")
        head_dim = embed_dim // num_heads
        self.w_in = matrix(3, num_heads, embed_dim, head_dim, fan_in=embed_dim)
        self.w_out = matrix(num_heads, head_dim, embed_dim, fan_in=embed_dim)
        self.b_out = Parameter(torch.zeros(embed_dim))
        self.limit, self.p = block_size, dropout_p

    def forward(self, x):
        T = x.shape[-2]
        if T > self.limit:
            raise ValueError(f"length {T} > block_size {self.limit}")
        q, k, v = torch.einsum("btc,nhcd->nbhtd", x, self.w_in)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        allowed = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
        e = torch.exp(scores - scores.amax(dim=-1, keepdim=True)) * allowed
        a = F.dropout(e / e.sum(dim=-1, keepdim=True), self.p, self.training)
        return F.dropout(torch.einsum("bhts,bhsd,hdc->btc", a, v, self.w_out) + self.b_out, self.p, self.training)


class MLP(Module):
    def __init__(self, embed_dim, dropout_p=0.0):
        super().__init__()
        if embed_dim < 1:
            raise ValueError(f"embed_dim: {embed_dim} is below 1")
        if not 0.0 <= dropout_p < 1.0:
            raise ValueError(f"dropout_p {dropout_p} not in [0, 1)")
        self.a, self.a0 = matrix(embed_dim, 4 * embed_dim, fan_in=embed_dim), Parameter(torch.zeros(4 * embed_dim))
        self.b, self.b0 = matrix(4 * embed_dim, embed_dim, fan_in=4 * embed_dim), Parameter(torch.zeros(embed_dim))
        self.p = dropout_p

    def forward(self, x):
        z = x @ self.a + self.a0
        z = z * 0.5 * (1 + torch.erf(z / math.sqrt(2)))
        return F.dropout(z @ self.b + self.b0, self.p, self.training)


class TransformerBlock(Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.attn = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)
        self.mlp = MLP(embed_dim, dropout_p)
        self.gains = Parameter(torch.ones(2, embed_dim))
        self.shifts = Parameter(torch.zeros(2, embed_dim))

    def norm(self, i, x):
        return F.layer_norm(x, x.shape[-1:], self.gains[i], self.shifts[i])

    def forward(self, x):
        x = x + self.attn(self.norm(0, x))
        x = x + self.mlp(self.norm(1, x))
        return x


class GPT2(Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        sizes = dict(vocab_size=vocab_size, embed_dim=embed_dim, num_heads=num_heads, num_layers=num_layers, block_size=block_size)
        for name, value in sizes.items():
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name}: {value!r} is not an integer >= 1")
            if value <= 0:
                raise ValueError(f"{name}: {value} is below 1")
        self.vocab = Parameter(torch.randn(vocab_size, embed_dim) * 0.05)   # used at both ends
        self.place = Parameter(torch.randn(block_size, embed_dim) * 0.05)
        self.blocks = ModuleList(TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers))
        self.gain, self.shift = Parameter(torch.ones(embed_dim)), Parameter(torch.zeros(embed_dim))
        self.p = dropout_p

    def forward(self, idx):
        if idx.ndim != 2:
            raise ValueError(f"idx must be 2-dimensional, not {idx.ndim}-dimensional")
        V, limit = len(self.vocab), len(self.place)
        if idx.shape[1] > limit:
            raise ValueError(f"length {idx.shape[1]} > block_size {limit}")
        if not bool(((0 <= idx) & (idx < V)).all()):
            raise ValueError(f"ids between {int(idx.min())} and {int(idx.max())}; allowed are 0 to {V - 1}")
        x = F.dropout(F.embedding(idx, self.vocab) + self.place[None, : idx.shape[1]], self.p, self.training)
        for block in self.blocks:
            x = block(x)
        return F.layer_norm(x, x.shape[-1:], self.gain, self.shift) @ self.vocab.T
