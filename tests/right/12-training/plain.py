import torch
from torch.nn import functional as F

from common import GPT2Config, problem

GPT2Model = problem(10).GPT2Model
init_weights = problem(11).init_weights


def next_token_split(tokens):
    if tokens.dim() != 2 or tokens.shape[1] < 2:
        raise ValueError(f"tokens has shape {tuple(tokens.shape)}, expected (B, T + 1) with T at least 1")
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def language_model_loss(logits, targets):
    if logits.dim() != 3 or logits.shape[:2] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} do not fit as (B, T, V) and (B, T)")
    V = logits.shape[-1]
    if targets.numel() and (int(targets.min()) < 0 or int(targets.max()) >= V):
        raise ValueError(f"targets run from {int(targets.min())} to {int(targets.max())}, allowed are 0 to {V - 1}")
    return F.cross_entropy(logits.reshape(-1, V), targets.reshape(-1))


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4,
               num_steps=50, lr=1e-3, seed=42):
    for name, value in (("vocab_size", vocab_size), ("embed_dim", embed_dim), ("num_heads", num_heads),
                        ("num_layers", num_layers), ("block_size", block_size), ("batch_size", batch_size),
                        ("num_steps", num_steps)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim must be a multiple of num_heads, got embed_dim={embed_dim}, num_heads={num_heads}")
    if not lr >= 0:
        raise ValueError(f"lr must not be negative, got {lr}")
    config = GPT2Config(vocab_size=vocab_size, n_positions=block_size, n_embd=embed_dim, n_layer=num_layers,
                        n_head=num_heads, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    torch.manual_seed(seed)
    model = GPT2Model(config)
    init_weights(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(num_steps):
        tokens = torch.randint(0, vocab_size, (batch_size, block_size + 1))
        inputs, targets = next_token_split(tokens)
        loss = language_model_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses
