import torch
import torch.nn.functional as F
from torch import nn

from common import GPT2Config


def causal_mask(seq_len: int, device=None) -> torch.Tensor:
    """One row at a time: token t sees tokens 0..t."""
    if seq_len < 1:
        raise ValueError(f"a mask needs seq_len >= 1, got {seq_len}")
    mask = torch.zeros((seq_len, seq_len), dtype=torch.bool, device=device)
    for t in range(seq_len):
        mask[t, : t + 1] = True
    return mask


class _Heads:
    def __init__(self, n_head):
        self.n_head = n_head

    def apart(self, x):
        return torch.stack(x.chunk(self.n_head, dim=-1), dim=1)

    def together(self, x):
        return torch.cat(tuple(x.unbind(dim=1)), dim=-1)


class CausalSelfAttention(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        C = config.n_embd
        self.heads = _Heads(config.n_head)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.c_attn = nn.Linear(C, 3 * C)
        self.c_proj = nn.Linear(C, C)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] != self.c_attn.in_features:
            raise ValueError(f"x is {x.shape[-1]} wide, the layer {self.c_attn.in_features}")
        query, key, value = map(self.heads.apart, torch.chunk(self.c_attn(x), 3, dim=-1))
        rate = self.attn_dropout.p if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=rate)
        return self.resid_dropout(self.c_proj(self.heads.together(out)))
