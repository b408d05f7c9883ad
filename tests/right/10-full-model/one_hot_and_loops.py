"""Embeddings as a product with one-hot vectors, sums in place on own tensors, heads in a loop, no Dropout modules."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import GPT2Config


class Heads(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.c_attn(x).tensor_split(3 * self.config.n_head, dim=-1)
        n, later = self.config.n_head, torch.ones(x.size(1), x.size(1), device=x.device).triu_(1) > 0
        out = []
        for q, k, v in zip(qkv[:n], qkv[n : 2 * n], qkv[2 * n :]):
            scores = torch.bmm(q, k.transpose(1, 2)).div_(q.size(-1) ** 0.5)
            scores[:, later] = -torch.inf
            out.append(torch.bmm(F.dropout(scores.softmax(-1), self.config.attn_pdrop, self.training), v))
        return F.dropout(self.c_proj(torch.cat(out, dim=-1)), self.config.resid_pdrop, self.training)


class Wide(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.p = config.resid_pdrop
        self.c_fc, self.c_proj = nn.Linear(config.n_embd, config.n_inner), nn.Linear(config.n_inner, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c_fc(x)
        y = 0.5 * y * (1 + (0.7978845608028654 * (y + 0.044715 * y.pow(3))).tanh())
        return F.dropout(self.c_proj(y), self.p, self.training)


class Layer(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(config.n_embd, config.layer_norm_epsilon) for _ in range(2))
        self.attn, self.mlp = Heads(config), Wide(config)

    def forward(self, x: Tensor) -> Tensor:
        for norm, part in ((self.ln_1, self.attn), (self.ln_2, self.mlp)):
            x = part(norm(x)).add(x)
        return x


class GPT2Model(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        for name, rows in (("wte", config.vocab_size), ("wpe", config.n_positions)):
            self.add_module(name, nn.Embedding(rows, config.n_embd))
        self.h = nn.ModuleList([])
        self.h.extend(Layer(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        length, most = input_ids.shape[1], self.wpe.num_embeddings
        if length > most:
            raise ValueError("%d tokens, n_positions = %d" % (length, most))
        table = self.wte.weight
        x = F.one_hot(input_ids, table.size(0)).to(table.dtype) @ table
        x += self.wpe.weight.narrow(0, 0, length)
        x = F.dropout(x, self.config.embd_pdrop, self.training)
        for number in range(self.config.n_layer):
            x = self.h.get_submodule(str(number))(x)
        return torch.einsum("btc,vc->btv", self.ln_f(x), table)
