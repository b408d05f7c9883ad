"""PyTorch's own encoder layers with a float mask, the whole run as a generator of losses, one optimizer for each parameter."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size):
        super().__init__()
        self.emb = nn.ModuleList([nn.Embedding(n, embed_dim) for n in (vocab_size, block_size)])
        layers = [
            nn.TransformerEncoderLayer(
                embed_dim, num_heads, 4 * embed_dim, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.last = nn.LayerNorm(embed_dim)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, idx):
        words, places = self.emb
        x = words(idx) + places.weight[: idx.size(1)].unsqueeze(0)
        mask = nn.Transformer.generate_square_subsequent_mask(idx.size(1))
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return F.linear(self.last(x), words.weight / words.weight.size(1) ** 0.5, self.bias)


def steps(model, optimizers, tokens):
    for batch in tokens:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[:, :-1]).mT, batch[:, 1:])
        yield loss.item()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()


def train_gpt2(
    vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42
):
    if any(n <= 0 for n in (vocab_size, embed_dim, num_heads, num_layers, block_size, batch_size, num_steps)):
        raise ValueError("a size below 1")
    if embed_dim // num_heads * num_heads != embed_dim:
        raise ValueError("heads of unequal size")
    torch.manual_seed(seed)
    tokens = torch.randint(0, vocab_size, (num_steps, batch_size, block_size + 1), dtype=torch.int64)
    model = Encoder(vocab_size, embed_dim, num_heads, num_layers, block_size)
    optimizers = [torch.optim.Adam([p], lr=lr) for p in model.parameters()]
    return model, list(steps(model, optimizers, tokens))
