"""A GPT of its own with dropout and other names; batches drawn in advance; log-probabilities gathered by hand."""

import random

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1))

    def forward(self, x):
        T = x.size(1)
        mask = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        h = self.n1(x)
        x = x + self.attn(h, h, h, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.n2(x))


class GPT(nn.Module):
    def __init__(self, vocab, width, heads, layers, context):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab)

    def forward(self, idx):
        x = self.tok(idx) + self.pos(torch.arange(idx.size(1), device=idx.device))
        return self.head(self.norm(self.blocks(x)))


def next_token_split(tokens):
    T = tokens.shape[1] - 1
    return tokens[:, 0:T], tokens[:, 1 : T + 1]


def language_model_loss(logits, targets):
    logp = torch.log_softmax(logits, dim=-1)
    return -logp.gather(-1, targets.unsqueeze(-1)).mean()


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42):
    if min(vocab_size, embed_dim, num_heads, num_layers, block_size, batch_size, num_steps) < 1:
        raise ValueError("all sizes must be positive")
    if embed_dim % num_heads:
        raise ValueError("embed_dim must be divisible by num_heads")
    torch.manual_seed(seed)
    random.seed(seed)
    batches = torch.randint(vocab_size, (num_steps, batch_size, block_size + 1))
    model = GPT(vocab_size, embed_dim, num_heads, num_layers, block_size)
    optimizer = torch.optim.Adam(list(model.parameters()), lr)
    losses = []
    for batch in batches:
        inputs, targets = next_token_split(batch)
        optimizer.zero_grad(set_to_none=False)
        loss = language_model_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses
