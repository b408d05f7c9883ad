"""Batches of plain matrices, the softmax by hand and partly in place; a result filled head by head."""

import torch
from torch import nn


def split_heads(x, n_head):
    B, T, C = x.shape
    out = torch.empty(B, n_head, T, C // n_head, dtype=x.dtype, device=x.device)
    for channel in range(C):
        head, place = divmod(channel, C // n_head)
        out[:, head, :, place] = x[:, :, channel]
    return out


def merge_heads(x):
    return torch.einsum("bhtd->bthd", x).contiguous().view(x.size(0), x.size(2), x.size(1) * x.size(3))


class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.scale = config.n_head, (config.n_embd // config.n_head) ** -0.5
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop, inplace=True)
        self.resid_dropout = nn.Dropout(config.resid_pdrop, inplace=True)

    def forward(self, x):
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4).flatten(1, 2)  # (3, B * H, T, D)
        scores = torch.bmm(qkv[0], qkv[1].mT)
        scores *= self.scale
        powers = torch.exp(scores - scores.detach().amax(2, keepdim=True))
        weights = self.attn_dropout(powers / powers.sum(2, keepdim=True) * 1)
        return self.resid_dropout(self.c_proj(torch.bmm(weights, qkv[2]).view(B, self.heads, T, -1).transpose(1, 2).flatten(2)))
