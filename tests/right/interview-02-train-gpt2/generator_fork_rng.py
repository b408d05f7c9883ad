import math

import torch
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, width, heads, longest):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.register_buffer("future", torch.ones(longest, longest).triu(1).bool(), persistent=False)

    def forward(self, x):
        T = x.size(1)
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)) for f in (self.q, self.k, self.v))
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.size(-1))
        weights = scores.masked_fill(self.future[:T, :T], -math.inf).softmax(-1)
        return self.o(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, longest):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = CausalSelfAttention(width, heads, longest)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attend(self.first(x))
        return x + self.think(self.second(x))


class Model(nn.Module):
    """model(idx) -> logits; model(idx, targets) -> (logits, loss)."""

    def __init__(self, vocab, width, heads, layers, longest):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, width), nn.Embedding(longest, width)
        self.blocks = nn.Sequential(*(Block(width, heads, longest) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab)

    def forward(self, idx, targets=None):
        longest = self.pos.num_embeddings
        if idx.size(1) > longest:
            raise ValueError(f"sequence length {idx.size(1)} is over the limit {longest}")
        logits = self.head(self.norm(self.blocks(self.tok(idx) + self.pos.weight[: idx.size(1)])))
        if targets is None:
            return logits
        return logits, nn.functional.cross_entropy(logits.transpose(1, 2), targets)


def _check(name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}, wanted an int of 1 or more")
    if value < 1:
        raise ValueError(f"{name} is {value}, the minimum is 1")


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32,
               batch_size=4, num_steps=50, lr=1e-3, seed=42):
    for name in ("vocab_size", "embed_dim", "num_heads", "num_layers", "block_size", "batch_size"):
        _check(name, locals()[name])
    if num_steps < 0:
        raise ValueError(f"num_steps is {num_steps}, the minimum is 0")
    if embed_dim % num_heads != 0:
        raise ValueError(f"num_heads is {num_heads} and does not divide embed_dim {embed_dim}")
    with torch.random.fork_rng(devices=[]):          # the caller's random state is left alone
        torch.manual_seed(seed)
        model = Model(vocab_size, embed_dim, num_heads, num_layers, block_size)
    generator = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr)

    def one_step():
        batch = torch.randint(0, vocab_size, (batch_size, block_size + 1), generator=generator)
        _, loss = model(batch[:, :-1], batch[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return model, [one_step() for _ in range(num_steps)]
