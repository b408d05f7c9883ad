"""Raw parameters, weights and data from one torch.Generator, Adam written out."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Adam:
    def __init__(self, params, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params = list(params)
        self.lr, self.beta1, self.beta2, self.eps, self.t = lr, beta1, beta2, eps, 0
        self.m = [torch.zeros_like(p) for p in self.params]
        self.v = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, grads):
        self.t += 1
        for p, g, m, v in zip(self.params, grads, self.m, self.v):
            m.lerp_(g, 1 - self.beta1)
            v.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
            m_hat, v_hat = m / (1 - self.beta1 ** self.t), v / (1 - self.beta2 ** self.t)
            p.sub_(self.lr * m_hat / (v_hat.sqrt() + self.eps))


class GPT(nn.Module):
    def __init__(self, V, C, H, L, T, generator):
        super().__init__()

        def normal(*shape, std):
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.H, self.L, self.T = H, L, T
        self.wte, self.wpe = normal(V, C, std=1.0), normal(T, C, std=1.0)
        self.w_qkv = normal(L, C, 3 * C, std=C ** -0.5)
        self.w_out = normal(L, C, C, std=C ** -0.5)
        self.w_up, self.b_up = normal(L, C, 4 * C, std=C ** -0.5), nn.Parameter(torch.zeros(L, 4 * C))
        self.w_down, self.b_down = normal(L, 4 * C, C, std=(4 * C) ** -0.5), nn.Parameter(torch.zeros(L, C))
        self.gain = nn.Parameter(torch.ones(2 * L + 1, C))
        self.shift = nn.Parameter(torch.zeros(2 * L + 1, C))
        self.w_vocab = normal(C, V, std=C ** -0.5)

    def norm(self, i, x):
        return F.layer_norm(x, (x.size(-1),), self.gain[i], self.shift[i])

    def attention(self, i, x):
        B, T, C = x.shape
        q, k, v = (x @ self.w_qkv[i]).view(B, T, 3, self.H, C // self.H).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / math.sqrt(C // self.H)
        scores = scores + torch.full((T, T), -math.inf, device=x.device).triu(1)
        return (scores.softmax(-1) @ v).permute(0, 2, 1, 3).reshape(B, T, C) @ self.w_out[i]

    def forward(self, idx):
        if idx.size(1) > self.T:
            raise ValueError(f"idx has {idx.size(1)} tokens, block_size is {self.T}")
        x = self.wte[idx] + self.wpe[: idx.size(1)]
        for i in range(self.L):
            x = x + self.attention(i, self.norm(2 * i, x))
            z = self.norm(2 * i + 1, x)
            x = x + F.gelu(z @ self.w_up[i] + self.b_up[i]) @ self.w_down[i] + self.b_down[i]
        return self.norm(2 * self.L, x) @ self.w_vocab


def train_gpt2(vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32,
               batch_size=4, num_steps=50, lr=1e-3, seed=42):
    def positive(name, value):
        if value < 1:
            raise ValueError(f"{name}: got {value}, need 1 or more")

    positive("vocab_size", vocab_size)
    positive("embed_dim", embed_dim)
    positive("num_heads", num_heads)
    positive("num_layers", num_layers)
    positive("block_size", block_size)
    positive("batch_size", batch_size)
    if num_steps < 0:
        raise ValueError(f"num_steps: got {num_steps}, need 0 or more")
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim: got {embed_dim}, need a multiple of num_heads {num_heads}")
    generator = torch.Generator()
    generator.manual_seed(seed)
    model = GPT(vocab_size, embed_dim, num_heads, num_layers, block_size, generator)
    adam = Adam(model.parameters(), lr)
    losses = []
    while len(losses) < num_steps:
        tokens = torch.randint(vocab_size, size=(batch_size, block_size + 1), generator=generator)
        log_p = model(tokens[:, :-1]).log_softmax(-1)
        loss = -log_p.gather(-1, tokens[:, 1:, None]).mean()
        adam.step(torch.autograd.grad(loss, adam.params))
        losses.append(loss.item())
    return model, losses
