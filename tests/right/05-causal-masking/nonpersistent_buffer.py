import torch
import torch.nn as nn


def causal_mask(seq_len, device=None):
    if not isinstance(seq_len, int):
        raise TypeError("seq_len %r is no int" % (seq_len,))
    if seq_len < 1:
        raise ValueError("seq_len %d: at least 1 is needed" % seq_len)
    index = torch.arange(seq_len, device=device)
    return index.unsqueeze(1) >= index.unsqueeze(0)


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.c_attn = nn.Linear(config.n_embd, config.n_embd * 3)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.heads = config.n_head
        self.register_buffer("bias_mask", causal_mask(config.n_positions), persistent=False)

    def forward(self, x):
        T, limit = x.size(1), self.bias_mask.size(0)
        if T > limit:
            raise ValueError("%d tokens given, n_positions is %d" % (T, limit))
        if x.size(2) != self.c_proj.in_features:
            raise ValueError("width %d given, n_embd is %d" % (x.size(2), self.c_proj.in_features))
        qkv = self.c_attn(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.unbind(dim=2)  # each (B, T, H, D)
        scores = torch.einsum("bthd,bshd->bhts", q, k) * q.size(-1) ** -0.5
        scores = torch.where(self.bias_mask[:T, :T], scores, scores.new_full((), torch.finfo(scores.dtype).min))
        weights = self.attn_dropout(scores.softmax(dim=-1))
        return self.resid_dropout(self.c_proj(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2)))
