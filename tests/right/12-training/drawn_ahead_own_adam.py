"""All tokens drawn before the first step, Adam written out, gradients from torch.autograd.grad, one-hot loss."""
import torch
from torch.nn.functional import log_softmax, one_hot

from common import GPT2Config, problem


class HandAdam:
    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-8):
        self.parameters = list(parameters)
        self.lr, (self.b1, self.b2), self.eps, self.t = lr, betas, eps, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients):
        self.t += 1
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v):
            m.mul_(self.b1).add_(g, alpha=1 - self.b1)
            v.mul_(self.b2).addcmul_(g, g, value=1 - self.b2)
            denominator = (v / (1 - self.b2 ** self.t)).sqrt_().add_(self.eps)
            p.addcdiv_(m, denominator, value=-self.lr / (1 - self.b1 ** self.t))


def next_token_split(tokens):
    shape = tuple(tokens.shape)
    if len(shape) != 2 or shape[1] <= 1:
        raise ValueError(f"cannot split tokens of shape {shape}; (B, T+1) with T >= 1 is the form")
    windows = tokens.unfold(1, shape[1] - 1, 1)          # (B, 2, T)
    inputs, targets = windows.unbind(1)
    return inputs.clone(), targets.clone()


def language_model_loss(logits, targets):
    if logits.dim() != 3 or targets.dim() != 2 or logits.shape[:-1] != targets.shape:
        raise ValueError(f"(B,T,V) and (B,T) wanted, got {tuple(logits.shape)} and {tuple(targets.shape)}")
    v = logits.shape[2]
    if not bool(((0 <= targets) & (targets < v)).all()):
        raise ValueError(f"targets between {targets.min().item()} and {targets.max().item()} do not fit vocab_size {v}")
    picked = (log_softmax(logits, dim=2) * one_hot(targets, v).to(logits.dtype)).sum(dim=2)
    return picked.mean().neg()


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4,
               num_steps=50, lr=1e-3, seed=42):
    given = dict(locals())
    for name in ("vocab_size", "embed_dim", "num_heads", "num_layers", "block_size", "batch_size", "num_steps"):
        if isinstance(given[name], bool) or not isinstance(given[name], int) or given[name] < 1:
            raise ValueError(f"train_gpt2: {name} is {given[name]!r}, it has to be an int >= 1")
    if embed_dim // num_heads * num_heads != embed_dim:
        raise ValueError(f"train_gpt2: embed_dim {embed_dim} is no multiple of num_heads {num_heads}")
    if not lr >= 0:
        raise ValueError(f"train_gpt2: lr is {lr!r}, it has to be >= 0")
    torch.manual_seed(seed)
    every_batch = torch.randint(vocab_size, (num_steps, batch_size, block_size + 1))
    model = problem(10).GPT2Model(GPT2Config(
        vocab_size=vocab_size, n_positions=block_size, n_embd=embed_dim, n_layer=num_layers, n_head=num_heads))
    problem(11).init_weights(model)
    parameters = list(model.parameters())
    adam = HandAdam(parameters, lr)

    def one_step(tokens):
        inputs, targets = next_token_split(tokens)
        loss = language_model_loss(model(inputs), targets)
        adam.step(torch.autograd.grad(loss, parameters))
        return loss.tolist()

    return model, [one_step(tokens) for tokens in every_batch]
