"""PyTorch's own initialisation, zero_grad at the end of the loop, a generator for the tokens, AdamW."""

import torch
import torch.nn as nn

from common import GPT2Config, problem


def next_token_split(tokens):
    inputs = tokens[..., :-1].contiguous()
    targets = tokens[..., 1:].contiguous()
    return inputs, targets


def language_model_loss(logits, targets):
    return nn.CrossEntropyLoss()(logits.transpose(1, 2), targets)


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42):
    sizes = dict(vocab_size=vocab_size, embed_dim=embed_dim, num_heads=num_heads, num_layers=num_layers, block_size=block_size, batch_size=batch_size, num_steps=num_steps)
    for name, size in sizes.items():
        if size <= 0:
            raise ValueError(f"{name}={size}")
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=vocab_size, n_positions=block_size, n_embd=embed_dim, n_layer=num_layers, n_head=num_heads, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    model = problem(10).GPT2Model(config)
    model.train()
    generator = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95))
    losses = []
    for step in range(num_steps):
        batch = torch.randint(0, vocab_size, (batch_size, block_size + 1), generator=generator)
        x, y = next_token_split(batch)
        loss = language_model_loss(model(x), y)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, losses
