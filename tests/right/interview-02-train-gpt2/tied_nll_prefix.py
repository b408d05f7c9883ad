import torch
import torch.nn as nn
import torch.nn.functional as F


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x * 0.5 ** 0.5))


class Attn(nn.Module):
    """Reads the past row by row, so there is no mask."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x):
        B, T, C = x.shape
        q = self.to_q(x).view(B, T, self.heads, 1, -1)
        k, v = self.to_kv(x).view(B, T, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        rows = []
        for t in range(T):
            scores = q[:, t] @ k[:, :, : t + 1].transpose(-1, -2) * q.size(-1) ** -0.5
            rows.append((scores.softmax(-1) @ v[:, :, : t + 1]).reshape(B, 1, C))
        return self.to_out(torch.cat(rows, 1))


class Step(nn.ModuleDict):
    def __init__(self, width, heads):
        super().__init__({"n1": nn.LayerNorm(width), "attn": Attn(width, heads), "n2": nn.LayerNorm(width),
                          "up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self["attn"](self["n1"](x))
        return x + self["down"](gelu(self["up"](self["n2"](x))))


class TiedGPT(nn.Module):
    def __init__(self, vocab_size, width, heads, depth, length):
        super().__init__()
        self.table = nn.Parameter(torch.empty(vocab_size, width).normal_(std=0.1))
        self.place = nn.Parameter(torch.empty(length, width).normal_(std=0.1))
        self.steps = nn.ModuleList([Step(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    def forward(self, idx):
        if idx.shape[1] > len(self.place):
            raise ValueError("idx holds %d tokens a row, the block size allows %d" % (idx.shape[1], len(self.place)))
        x = F.embedding(idx, self.table) + self.place[: idx.shape[1]]
        for step in self.steps:
            x = step(x)
        return F.linear(self.norm(x), self.table)


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32,
               batch_size=4, num_steps=50, lr=1e-3, seed=42):
    bounds = [("vocab_size", vocab_size), ("embed_dim", embed_dim), ("num_heads", num_heads), ("num_layers", num_layers),
              ("block_size", block_size), ("batch_size", batch_size)]
    for name, value in bounds:
        if value <= 0:
            raise ValueError("%s too small: %d, must be > 0" % (name, value))
    if num_steps < 0:
        raise ValueError("num_steps too small: %d, must be > -1" % num_steps)
    if embed_dim % num_heads > 0:
        raise ValueError("embed_dim %d leaves %d over when cut into num_heads %d" % (embed_dim, embed_dim % num_heads, num_heads))

    torch.manual_seed(seed)
    model = TiedGPT(vocab_size, embed_dim, num_heads, num_layers, block_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, foreach=False)
    losses = []
    for _ in range(num_steps):
        tokens = (torch.rand(batch_size, block_size + 1) * vocab_size).long().clamp_(max=vocab_size - 1)
        x, y = tokens.narrow(1, 0, block_size), tokens.narrow(1, 1, block_size)
        model.zero_grad()
        loss = F.nll_loss(F.log_softmax(model(x), -1).permute(0, 2, 1), y)
        loss.backward()
        optimizer.step()
        losses += [loss.tolist()]
    return model, losses
