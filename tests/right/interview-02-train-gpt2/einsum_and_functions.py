"""Attention by einsum, layers in a ModuleDict, tokens from floor of uniform numbers, the loss by indexing, AdamW."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, vocab, width, heads, layers, length):
        super().__init__()
        self.heads = heads
        self.token = nn.Embedding(vocab, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "before": nn.LayerNorm(width),
                    "q": nn.Linear(width, width),
                    "k": nn.Linear(width, width),
                    "v": nn.Linear(width, width),
                    "out": nn.Linear(width, width),
                    "between": nn.LayerNorm(width),
                    "wide": nn.Linear(width, 4 * width),
                    "narrow": nn.Linear(4 * width, width),
                }
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab)

    def attend(self, layer, x):
        q, k, v = (layer[name](x).unflatten(-1, (self.heads, -1)) for name in "qkv")
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / q.size(-1) ** 0.5
        later = torch.arange(x.size(1))[None, :] > torch.arange(x.size(1))[:, None]
        scores = torch.where(later, torch.finfo(scores.dtype).min, scores)
        return layer["out"](torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).flatten(2))

    def forward(self, ids):
        x = self.token(ids) + self.place[: ids.size(1)]
        for layer in self.layers:
            x = x + self.attend(layer, layer["before"](x))
            x = x + layer["narrow"](nn.functional.gelu(layer["wide"](layer["between"](x)), approximate="tanh"))
        return self.head(self.norm(x))


def draw(vocab, rows, columns, source):
    return torch.floor(torch.rand(rows, columns, generator=source, dtype=torch.float64) * vocab).long()


def train_gpt2(
    vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42
):
    names = ("vocab_size", "embed_dim", "num_heads", "num_layers", "block_size", "batch_size", "num_steps")
    values = (vocab_size, embed_dim, num_heads, num_layers, block_size, batch_size, num_steps)
    wrong = [f"{name}={value}" for name, value in zip(names, values, strict=True) if value < 1]
    if wrong or embed_dim % num_heads:
        raise ValueError(", ".join(wrong) or f"{embed_dim} channels and {num_heads} heads")
    torch.manual_seed(seed)
    net = Net(vocab_size, embed_dim, num_heads, num_layers, block_size)
    source = torch.Generator().manual_seed(seed)
    adam = torch.optim.AdamW(net.parameters(), lr, amsgrad=True, weight_decay=0.0)
    losses = [0.0] * num_steps
    for i in range(num_steps):
        tokens = draw(vocab_size, batch_size, block_size + 1, source)
        logp = net(tokens[:, :block_size]).log_softmax(-1)
        loss = -logp[torch.arange(batch_size)[:, None], torch.arange(block_size)[None, :], tokens[:, 1:]].mean()
        net.zero_grad(set_to_none=False)
        loss.backward()
        losses[i] = loss.item()
        adam.step()
    return net, losses
