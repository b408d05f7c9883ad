"""Loss and split in loops, a closure for the step, Adam with foreach off, tokens shuffled out of a long row."""

import math

import torch

from common import problem


def next_token_split(tokens):
    rows, columns = tokens.shape
    inputs = torch.empty(rows, columns - 1, dtype=tokens.dtype, device=tokens.device)
    targets = torch.empty_like(inputs)
    for t in range(columns - 1):
        inputs[:, t] = tokens[:, t]
        targets[:, t] = tokens[:, t + 1]
    return inputs, targets


def language_model_loss(logits, targets):
    costs = []
    for row, wanted in zip(logits, targets, strict=True):
        for scores, target in zip(row, wanted, strict=True):
            top = scores.max()
            costs.append(top + (scores - top).exp().sum().log() - scores[int(target)])
    return torch.stack(costs).mean()


def train_gpt2(
    vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42
):
    if any(size < 1 for size in (batch_size, num_steps)):
        raise ValueError("a run needs a text and a step at least")
    config = problem(9).GPT2Config(
        vocab_size=vocab_size, n_positions=block_size, n_embd=embed_dim, n_layer=num_layers, n_head=num_heads
    )
    source = torch.Generator().manual_seed(7 * seed + 1)
    torch.manual_seed(seed)
    model = problem(10).GPT2Model(config).eval()
    problem(11).init_weights(model)
    adam = torch.optim.Adam([{"params": [p]} for p in model.parameters()], lr=lr, foreach=False)

    def step():
        adam.zero_grad()
        many = math.ceil(batch_size * (block_size + 1) / vocab_size)
        ids = torch.cat([torch.randperm(vocab_size, generator=source) for _ in range(many)])
        tokens = ids[: batch_size * (block_size + 1)].reshape(batch_size, block_size + 1)
        inputs, targets = next_token_split(tokens)
        loss = language_model_loss(model(inputs), targets)
        loss.backward()
        return loss

    return model, [float(adam.step(step).detach()) for _ in range(num_steps)]
