"""Training: the loss of a language model, and the loop that lowers it.

Shapes: B batch, T tokens, V vocab_size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from common import problem

GPT2Config = problem(9).GPT2Config
GPT2Model = problem(10).GPT2Model
init_weights = problem(11).init_weights


def next_token_split(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T + 1) -> inputs (B, T) and targets (B, T): each target is the token after its input."""
    # lesson: 1 line
    return tokens[:, :-1], tokens[:, 1:]


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy over all positions of all texts.

    Args:
        logits: (B, T, V), raw scores. targets: (B, T), int64.

    Returns:
        A scalar, in nats.
    """
    # lesson: 1 line
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train_gpt2(
    vocab_size: int = 100,
    embed_dim: int = 64,
    num_heads: int = 4,
    num_layers: int = 2,
    block_size: int = 32,
    batch_size: int = 4,
    num_steps: int = 50,
    lr: float = 1e-3,
    seed: int = 42,
) -> tuple[GPT2Model, list[float]]:
    """Train a new GPT-2 with Adam on random tokens, fresh ones at every step.

    Returns:
        The model, and the loss of each step before its update. The same seed gives the same losses.

    Raises:
        ValueError: a size that makes no model, batch or number of steps.
    """
    # lesson: about 20 lines. Check the sizes; seed; model and optimizer; the loop
    for name, size in {"batch_size": batch_size, "num_steps": num_steps}.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, not {size}")
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=block_size,
        n_embd=embed_dim,
        n_layer=num_layers,
        n_head=num_heads,
    )
    torch.manual_seed(seed)  # before the model: its first weights are random too
    model = GPT2Model(config)
    init_weights(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(num_steps):
        tokens = torch.randint(vocab_size, (batch_size, block_size + 1))
        inputs, targets = next_token_split(tokens)
        loss = language_model_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses
