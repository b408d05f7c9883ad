"""One small module for each head, as in a lecture; LayerNorm by hand; finfo.min instead of -inf."""

import torch
from torch import nn
from torch.nn import functional as F


class Head(nn.Module):
    def __init__(self, embed_dim, size, block_size, dropout_p):
        super().__init__()
        self.k = nn.Linear(embed_dim, size, bias=False)
        self.q = nn.Linear(embed_dim, size, bias=False)
        self.v = nn.Linear(embed_dim, size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, x):
        n = x.size(1)
        s = torch.bmm(self.q(x), self.k(x).mT) / self.k.out_features**0.5
        s = s.masked_fill(self.tril[:n, :n] == 0, torch.finfo(s.dtype).min)
        return torch.bmm(self.dropout(F.softmax(s, dim=2)), self.v(x))


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        size, rest = divmod(embed_dim, num_heads)
        if rest:
            raise TypeError(f"cannot share {embed_dim} among {num_heads} heads")
        self.heads = nn.ModuleList(Head(embed_dim, size, block_size, dropout_p) for _ in range(num_heads))
        self.mix = nn.Linear(embed_dim, embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        return self.drop(self.mix(torch.cat([head(x) for head in self.heads], dim=-1)))


class MLP(nn.Module):
    def __init__(self, embed_dim, dropout_p=0.0):
        super().__init__()
        self.a, self.b = nn.Linear(embed_dim, embed_dim * 4), nn.Linear(embed_dim * 4, embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        hidden = self.a(x)
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        return self.drop(self.b(hidden))


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        var = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt() * self.gain + self.shift


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.sa = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)
        self.ff = MLP(embed_dim, dropout_p)
        self.n1, self.n2 = Norm(embed_dim), Norm(embed_dim)

    def forward(self, x):
        y = x + self.sa(self.n1(x))
        return y + self.ff(self.n2(y))


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        self.limit = block_size
        self.tokens, self.positions = nn.Embedding(vocab_size, embed_dim), nn.Embedding(block_size, embed_dim)
        self.blocks = nn.Sequential(*(TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers)))
        self.norm, self.to_vocab = Norm(embed_dim), nn.Linear(embed_dim, vocab_size, bias=False)
        self.to_vocab.weight = self.tokens.weight
        self.drop = nn.Dropout(dropout_p)

    def forward(self, idx):
        if idx.shape[-1] > self.limit:
            raise ValueError(f"{idx.shape[-1]} > {self.limit}")
        where = torch.arange(idx.shape[-1]).to(idx.device).expand_as(idx)
        return self.to_vocab(self.norm(self.blocks(self.drop(self.tokens(idx) + self.positions(where)))))
