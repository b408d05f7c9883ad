import torch
import torch.nn as nn
import torch.nn.functional as F


class Dense(nn.Module):
    """x @ weight + bias with the weight stored (in, out), as GPT-2 itself did."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out) * n_in ** -0.5)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class Residual(nn.Module):
    def __init__(self, norm, inner):
        super().__init__()
        self.norm, self.inner = norm, inner

    def forward(self, x):
        return torch.add(x, self.inner(self.norm(x)))


def at_least_one(name, value):
    if value < 1:
        raise ValueError("%s must be >= 1 but is %r" % (name, value))
    return value


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.width = at_least_one("embed_dim", embed_dim)
        self.n_head = at_least_one("num_heads", num_heads)
        self.max_len = at_least_one("block_size", block_size)
        if self.width % self.n_head:
            raise ValueError("embed_dim %d is no multiple of num_heads %d" % (embed_dim, num_heads))
        self.qkv = Dense(embed_dim, 3 * embed_dim)
        self.proj = Dense(embed_dim, embed_dim)
        self.dropout_p = nn.Dropout(dropout_p)
        self.register_buffer("bias", torch.full((block_size, block_size), float("-inf")).triu(1))

    def fold(self, z):
        # (B, T, C) -> (B*H, T, D): heads become extra batch rows
        return torch.cat(z.chunk(self.n_head, dim=-1), dim=0)

    def forward(self, x):
        if x.shape[-1] != self.width:
            raise ValueError("input width is %d, must be embed_dim %d" % (x.shape[-1], self.width))
        T = x.shape[1]
        if T > self.max_len:
            raise ValueError("sequence of %d tokens over the limit of %d" % (T, self.max_len))
        q, k, v = map(self.fold, self.qkv(x).chunk(3, dim=-1))
        scores = torch.baddbmm(self.bias[:T, :T].to(q.dtype).expand(q.shape[0], T, T), q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        y = torch.bmm(self.dropout_p(F.softmax(scores, dim=2)), v)
        return self.dropout_p(self.proj(torch.cat(y.chunk(self.n_head, dim=0), dim=-1)))


class MLP(nn.Module):
    def __init__(self, embed_dim, dropout_p=0.0):
        super().__init__()
        at_least_one("embed_dim", embed_dim)
        self.wide = Dense(embed_dim, 4 * embed_dim)
        self.narrow = Dense(4 * embed_dim, embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        return self.drop(self.narrow(F.gelu(self.wide(x), approximate="tanh")))


class TransformerBlock(nn.Sequential):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__(
            Residual(nn.LayerNorm(embed_dim), CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)),
            Residual(nn.LayerNorm(embed_dim), MLP(embed_dim, dropout_p)),
        )


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        for name, value in list(locals().items()):
            if name in ("vocab_size", "embed_dim", "num_heads", "num_layers", "block_size"):
                at_least_one(name, value)
        self.vocab_size, self.block_size = vocab_size, block_size
        # one table for tokens and positions: rows vocab_size.. are the positions
        self.table = nn.Embedding(vocab_size + block_size, embed_dim)
        nn.init.normal_(self.table.weight, std=0.3)
        self.trunk = nn.Sequential(nn.Dropout(dropout_p))
        for i in range(num_layers):
            self.trunk.add_module("block%d" % i, TransformerBlock(embed_dim, num_heads, block_size, dropout_p))
        self.trunk.add_module("norm", nn.LayerNorm(embed_dim))
        self.trunk.add_module("head", Dense(embed_dim, vocab_size))

    def forward(self, idx):
        if idx.dim() != 2:
            raise ValueError("idx must have 2 dimensions but has %d" % idx.dim())
        T = idx.shape[1]
        if T > self.block_size:
            raise ValueError("sequence of %d tokens over the limit of %d" % (T, self.block_size))
        if torch.any(idx < 0) or torch.any(idx >= self.vocab_size):
            raise ValueError("ids %s: each must be >= 0 and < %d" % (idx.unique().tolist(), self.vocab_size))
        places = self.vocab_size + torch.arange(T, device=idx.device)
        return self.trunk(self.table(idx) + self.table(places))
