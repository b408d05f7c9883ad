import random
from dataclasses import dataclass, fields

import torch
import torch.nn as nn


@dataclass
class Settings:
    vocab_size: int
    embed_dim: int
    num_heads: int
    num_layers: int
    block_size: int
    batch_size: int
    num_steps: int

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int:
                raise TypeError(f"{field.name} must be an int >= 1, not {value!r}")
            if value < 1:
                raise ValueError(f"{field.name} must be >= 1, not {value}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim must be a multiple of num_heads={self.num_heads}, not {self.embed_dim}")


class Attention(nn.Module):
    def __init__(self, s, p):
        super().__init__()
        self.h = s.num_heads
        self.inp, self.out = nn.Linear(s.embed_dim, 3 * s.embed_dim), nn.Linear(s.embed_dim, s.embed_dim)
        self.drop = nn.Dropout(p)

    def forward(self, x):
        fold = lambda z: torch.cat(z.chunk(self.h, -1), 0)
        q, k, v = map(fold, self.inp(x).chunk(3, -1))
        ok = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).tril()
        w = torch.bmm(q, k.transpose(1, 2)).mul(q.size(-1) ** -0.5).masked_fill(~ok, float("-inf")).softmax(-1)
        return self.drop(self.out(torch.cat(torch.bmm(self.drop(w), v).chunk(self.h, 0), -1)))


class PreNorm(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), inner

    def forward(self, x):
        return x + self.inner(self.norm(x))


class LanguageModel(nn.Module):
    def __init__(self, s, p=0.1):
        super().__init__()
        C = s.embed_dim
        self.limit = s.block_size
        self.wte, self.wpe, self.drop = nn.Embedding(s.vocab_size, C), nn.Embedding(s.block_size, C), nn.Dropout(p)
        parts = []
        for _ in range(s.num_layers):
            parts.append(PreNorm(C, Attention(s, p)))
            parts.append(PreNorm(C, nn.Sequential(nn.Linear(C, 4 * C), nn.GELU(), nn.Linear(4 * C, C), nn.Dropout(p))))
        self.trunk = nn.Sequential(*parts, nn.LayerNorm(C), nn.Linear(C, s.vocab_size))

    def forward(self, idx):
        T = idx.size(1)
        if T > self.limit:
            raise ValueError(f"T must be <= {self.limit}, not {T}")
        return self.trunk(self.drop(self.wte(idx) + self.wpe(torch.arange(T, device=idx.device))))


class Trainer:
    def __init__(self, settings, lr, seed):
        self.s = settings
        self.dice = random.Random(seed)              # tokens come from the standard library
        torch.manual_seed(seed)                      # weights and dropout
        self.model = LanguageModel(settings)
        self.adam = torch.optim.Adam([{"params": list(self.model.parameters())}], lr=lr, betas=(0.9, 0.98))
        self.criterion = nn.CrossEntropyLoss()

    def batch(self):
        rows = [[self.dice.randrange(self.s.vocab_size) for _ in range(self.s.block_size + 1)] for _ in range(self.s.batch_size)]
        rows = torch.tensor(rows, dtype=torch.long)
        return rows[:, :-1], rows[:, 1:]

    def run(self):
        self.model.train()
        for _ in range(self.s.num_steps):
            inputs, targets = self.batch()
            loss = self.criterion(self.model(inputs).view(-1, self.s.vocab_size), targets.reshape(-1))
            loss.backward()
            self.adam.step()
            self.adam.zero_grad()
            yield loss.item()
        self.model.eval()


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32,
               batch_size=4, num_steps=50, lr=1e-3, seed=42):
    trainer = Trainer(Settings(vocab_size, embed_dim, num_heads, num_layers, block_size, batch_size, num_steps), lr, seed)
    losses = list(trainer.run())
    return trainer.model, losses
