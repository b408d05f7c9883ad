"""The global random state is put back; lists of Python numbers as tokens; loss summed and divided."""

import random

import torch
import torch.nn.functional as F

from common import problem


def next_token_split(tokens):
    return tokens.narrow(1, 0, tokens.size(1) - 1), tokens.narrow(1, 1, tokens.size(1) - 1)


def language_model_loss(logits, targets):
    B, T, V = logits.shape
    total = F.cross_entropy(logits.reshape(B * T, V), targets.reshape(B * T), reduction="sum")
    return total / (B * T)


def train_gpt2(
    vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42
):
    if batch_size < 1 or num_steps < 1:
        raise ValueError(f"batch_size={batch_size}, num_steps={num_steps}")
    config = problem(9).GPT2Config(
        vocab_size=vocab_size, n_positions=block_size, n_embd=embed_dim, n_layer=num_layers, n_head=num_heads
    )
    numbers = random.Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = problem(10).GPT2Model(config)
        problem(11).init_weights(model)
        optimizer = torch.optim.Adam(params=model.parameters(), lr=lr)
        losses = []
        while len(losses) < num_steps:
            rows = [[numbers.randrange(vocab_size) for _ in range(block_size + 1)] for _ in range(batch_size)]
            inputs, targets = next_token_split(torch.tensor(rows))
            for p in model.parameters():
                p.grad = None
            loss = language_model_loss(model(inputs), targets)
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
    return model, losses
