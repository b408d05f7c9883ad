"""Config from problem 9, fused attention, positions kept in a buffer that is not saved, the head computed from wte itself."""
import torch
from torch import nn
from torch.nn import functional as F

from common import problem

GPT2Config = problem(9).GPT2Config


def _linear(m, n):
    return nn.Linear(in_features=m, out_features=n)


class SelfAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.n_head = c.n_head
        self.c_attn, self.c_proj = _linear(c.n_embd, 3 * c.n_embd), _linear(c.n_embd, c.n_embd)
        self.attn_dropout, self.resid_dropout = nn.Dropout(c.attn_pdrop), nn.Dropout(c.resid_pdrop)

    def forward(self, x):
        q, k, v = [t.unflatten(2, (self.n_head, -1)).movedim(2, 1) for t in self.c_attn(x).chunk(3, 2)]
        p = self.attn_dropout.p if self.attn_dropout.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        return self.resid_dropout(self.c_proj(y.movedim(1, 2).flatten(start_dim=2)))


class Block(nn.ModuleDict):
    def __init__(self, c):
        super().__init__({
            "ln_1": nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon),
            "attn": SelfAttention(c),
            "ln_2": nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon),
            "mlp": nn.ModuleDict({"c_fc": _linear(c.n_embd, c.n_inner), "c_proj": _linear(c.n_inner, c.n_embd), "dropout": nn.Dropout(c.resid_pdrop)}),
        })

    def forward(self, x):
        x = x + self["attn"](self["ln_1"](x))
        m = self["mlp"]
        return x + m["dropout"](m["c_proj"](F.gelu(m["c_fc"](self["ln_2"](x)), approximate="tanh")))


class GPT2Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight
        self.register_buffer("position_ids", torch.arange(config.n_positions).unsqueeze(0), persistent=False)

    def forward(self, input_ids):
        cfg = self.config
        if torch.is_floating_point(input_ids) or input_ids.dtype is torch.bool:
            raise TypeError(f"{input_ids.dtype} are no token ids, int64 wanted")
        if len(input_ids.shape) != 2:
            raise ValueError(f"shape {tuple(input_ids.shape)} given, (batch, tokens) wanted")
        length = input_ids.shape[-1]
        if length > cfg.n_positions:
            raise ValueError(f"T = {length} > {cfg.n_positions} = n_positions")
        if input_ids.numel() and not input_ids.is_meta and not bool(((input_ids >= 0) & (input_ids < cfg.vocab_size)).all()):
            raise ValueError(f"ids in {input_ids.min().item()}..{input_ids.max().item()}, vocab_size is {cfg.vocab_size}")
        x = self.wte(input_ids) + self.wpe(self.position_ids[:, :length])
        x = self.drop(x)
        for i in range(cfg.n_layer):
            x = self.h[i](x)
        return F.linear(self.ln_f(x), self.wte.weight)
