"""Own small GPT-2 in this file, dropout on, a forked random state that is put back, a generator for the data, views as splits."""
import math

import torch
import torch.nn as nn
from torch.optim import Adam


def next_token_split(tokens):
    if tokens.ndim != 2:
        raise ValueError(f"two axes wanted, tokens has {tokens.ndim}")
    if tokens.size(1) < 2:
        raise ValueError(f"at least 2 tokens a row are needed, got {tokens.size(1)}")
    length = tokens.size(1) - 1
    return tokens.narrow(1, 0, length), tokens.narrow(1, 1, length)


def language_model_loss(logits, targets):
    if logits.ndim != 3:
        raise ValueError(f"logits must be (B, T, V), got {tuple(logits.shape)}")
    if tuple(targets.shape) != tuple(logits.shape[:-1]):
        raise ValueError(f"targets must be {tuple(logits.shape[:-1])}, got {tuple(targets.shape)}")
    outside = (targets < 0) | (targets >= logits.size(-1))
    if outside.any():
        raise ValueError(f"target {targets[outside][0].item()} is not below vocab_size {logits.size(-1)} or is negative")
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (torch.logsumexp(logits, dim=-1) - chosen).mean()


class Attention(nn.Module):
    def __init__(self, width, heads, p):
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.drop_weights, self.drop_out = nn.Dropout(p), nn.Dropout(p)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.c_attn(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / math.sqrt(c // self.heads)
        scores = scores + torch.full((t, t), -torch.inf, device=x.device).triu(1)
        y = self.drop_weights(scores.softmax(-1)) @ v
        return self.drop_out(self.c_proj(y.transpose(1, 2).reshape(b, t, c)))


class Mlp(nn.Module):
    def __init__(self, width, p):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act, self.dropout = nn.GELU(approximate="tanh"), nn.Dropout(p)

    def forward(self, x):
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, width, heads, p):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads, p)
        self.ln_2, self.mlp = nn.LayerNorm(width), Mlp(width, p)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TinyGPT2(nn.Module):
    def __init__(self, vocab, width, heads, layers, positions, p=0.1):
        super().__init__()
        self.vocab, self.positions = vocab, positions
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(positions, width)
        self.drop = nn.Dropout(p)
        self.h = nn.ModuleList([Block(width, heads, p) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.lm_head.weight = self.wte.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deviation = 0.02 / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, std=deviation)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, idx):
        if idx.ndim != 2:
            raise ValueError(f"idx must be (B, T), got {tuple(idx.shape)}")
        if idx.size(1) > self.positions:
            raise ValueError(f"{idx.size(1)} tokens given, block_size is {self.positions}")
        x = self.drop(self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device)))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def _sizes(**sizes):
    for name, value in sizes.items():
        if type(value) is not int:
            raise TypeError(f"{name}={value!r}: an int of 1 or more, please")
        if value < 1:
            raise ValueError(f"{name}={value!r}: an int of 1 or more, please")


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42):
    _sizes(vocab_size=vocab_size, embed_dim=embed_dim, num_heads=num_heads, num_layers=num_layers,
           block_size=block_size, batch_size=batch_size, num_steps=num_steps)
    if embed_dim % num_heads != 0:
        raise ValueError(f"{embed_dim} channels (embed_dim) cannot be shared among {num_heads} heads (num_heads)")
    if not 0 <= lr < math.inf:
        raise ValueError(f"lr={lr!r}: 0 or more, please")
    losses = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        data = torch.Generator().manual_seed(seed + 1)
        model = TinyGPT2(vocab_size, embed_dim, num_heads, num_layers, block_size).train()
        optimiser = Adam(model.parameters(), lr)
        while len(losses) < num_steps:
            batch = torch.randint(vocab_size, (batch_size, block_size + 1), generator=data)
            inputs, targets = next_token_split(batch)
            optimiser.zero_grad(set_to_none=False)
            loss = language_model_loss(model(inputs), targets)
            loss.backward()
            losses.append(float(loss.detach()))
            optimiser.step()
    return model.eval(), losses
