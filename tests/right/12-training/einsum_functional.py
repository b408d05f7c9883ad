"""Targets as one-hot rows met with einsum, logits shifted in place on a copy, gradients set to zero parameter by parameter."""

import torch
from torch import nn

from common import GPT2Config, problem


def next_token_split(tokens):
    inputs, targets = torch.stack([tokens[:, :-1], tokens[:, 1:]])
    return inputs, targets


def language_model_loss(logits, targets):
    shifted = logits.clone()
    shifted -= logits.detach().amax(dim=-1, keepdim=True)
    wanted = nn.functional.one_hot(targets, logits.size(-1)).to(logits.dtype)
    picked = torch.einsum("btv,btv->bt", shifted, wanted)
    return torch.mean(torch.log(torch.einsum("btv->bt", shifted.exp())) - picked)


class Run:
    """A model, its optimizer and what was seen of it."""

    def __init__(self, config, lr, seed):
        torch.manual_seed(seed)
        self.model = problem(10).GPT2Model(config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr, amsgrad=True)
        self.losses = []

    def step(self, tokens):
        inputs, targets = next_token_split(tokens)
        loss = language_model_loss(self.model(inputs), targets)
        for p in self.model.parameters():
            if p.grad is not None:
                p.grad.zero_()
        torch.autograd.backward(loss)
        self.losses += [loss.detach().item()]
        self.optimizer.step()


def train_gpt2(
    vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42
):
    if not (batch_size > 0 and num_steps >= 0):
        raise ValueError(f"batch_size={batch_size}, num_steps={num_steps}: at least one text, and no step less than none")
    config = GPT2Config(
        vocab_size=vocab_size, n_positions=block_size, n_embd=embed_dim, n_layer=num_layers, n_head=num_heads,
        embd_pdrop=0.2, attn_pdrop=0.2, resid_pdrop=0.2,
    )
    run = Run(config, lr, seed)
    for tokens in torch.randint(vocab_size, (num_steps, batch_size, block_size + 1)).unbind():
        run.step(tokens)
    return run.model, run.losses
