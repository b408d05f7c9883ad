"""All of it by torch's own function, which wants tokens first; the heads of split_heads by unfolding."""

import torch.nn.functional as F
from torch import nn


def split_heads(x, n_head):
    size = x.size(2) // n_head
    return x.unfold(2, size, size).permute(0, 2, 1, 3)


def merge_heads(x):
    return x.permute(0, 2, 1, 3).reshape(len(x), x.size(2), -1)


class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout, self.resid_dropout = nn.Dropout(config.attn_pdrop), nn.Dropout(config.resid_pdrop)
        self.sizes = config.n_embd, config.n_head

    def forward(self, x):
        x = x.transpose(0, 1)  # (T, B, C)
        out, _ = F.multi_head_attention_forward(
            x, x, x, *self.sizes, self.c_attn.weight, self.c_attn.bias, None, None, False, self.attn_dropout.p,
            self.c_proj.weight, self.c_proj.bias, training=self.training, need_weights=False,
        )
        return self.resid_dropout(out.transpose(0, 1))
