import torch
import torch.nn as nn
import torch.nn.functional as F


def split_heads(x: torch.Tensor, n_head: int) -> torch.Tensor:
    if x.ndim != 3:
        raise ValueError("x has %d dimensions, 3 are needed" % x.ndim)
    if n_head <= 0 or x.size(2) % n_head:
        raise ValueError("n_head %d is no divisor of %d" % (n_head, x.size(2)))
    return torch.stack(x.tensor_split(n_head, dim=2), dim=1)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    if x.ndim != 4:
        raise ValueError("x has %d dimensions, 4 are needed" % x.ndim)
    return torch.cat(x.unbind(1), dim=-1)


class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.n_embd
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attn_dropout, self.resid_dropout = nn.Dropout(config.attn_pdrop), nn.Dropout(config.resid_pdrop)
        self.config = config

    def forward(self, x):
        if x.shape[-1] != self.config.n_embd:
            raise ValueError("width %d given, n_embd is %d" % (x.shape[-1], self.config.n_embd))
        q, k, v = (split_heads(t, self.config.n_head) for t in self.c_attn(x).split(self.config.n_embd, dim=2))
        p = self.attn_dropout.p if self.attn_dropout.training else 0.0
        return self.resid_dropout(self.c_proj(merge_heads(F.scaled_dot_product_attention(q, k, v, dropout_p=p))))
