"""As few lines as PyTorch allows: fused attention, windows by indexing, windows of one length evaluated together."""

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Settings:
    context: int = 32
    n_embd: int = 48
    n_head: int = 4
    n_layer: int = 2
    dropout: float = 0.1
    batch_size: int = 16
    steps: int = 300
    warmup_steps: int = 20
    max_lr: float = 4e-3
    min_lr: float = 4e-4
    weight_decay: float = 0.1
    grad_clip: float = 0.5
    eval_every: int = 50
    seed: int = 1


class CharTokenizer:
    def __init__(self, text):
        self.itos = dict(enumerate(sorted(dict.fromkeys(text))))
        self.stoi = {c: i for i, c in self.itos.items()}
        self.vocab_size = len(self.itos)

    def encode(self, text):
        return torch.tensor([*map(self.stoi.__getitem__, text)], dtype=torch.long)

    def decode(self, ids):
        return "".join(self.itos[int(i)] for i in ids)


def split(ids, share=0.9):
    n = int(share * ids.numel())
    return torch.split(ids, [n, ids.numel() - n])


def draw_batch(ids, batch_size, context, generator):
    at = torch.randint(0, ids.size(0) - context, (batch_size, 1), generator=generator) + torch.arange(context)
    return ids[at], ids[at + 1]


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads, self.p = s.n_head, s.dropout
        self.c_attn = nn.Linear(s.n_embd, 3 * s.n_embd)
        self.c_proj = nn.Linear(s.n_embd, s.n_embd)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class MLP(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.c_fc = nn.Linear(s.n_embd, 4 * s.n_embd)
        self.act = nn.GELU()
        self.c_proj = nn.Linear(4 * s.n_embd, s.n_embd)

    def forward(self, x):
        return self.c_proj(self.act(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(s.n_embd), nn.LayerNorm(s.n_embd)
        self.attn, self.mlp = Attention(s), MLP(s)
        self.drop_1, self.drop_2 = nn.Dropout(s.dropout), nn.Dropout(s.dropout)

    def forward(self, x):
        for norm, part, drop in ((self.ln_1, self.attn, self.drop_1), (self.ln_2, self.mlp, self.drop_2)):
            x = x + drop(part(norm(x)))
        return x


class GPT(nn.Module):
    def __init__(self, settings, vocab_size):
        super().__init__()
        self.settings = settings
        self.lm_head = nn.Linear(settings.n_embd, vocab_size, bias=False)
        self.wte = nn.Embedding(vocab_size, settings.n_embd, _weight=self.lm_head.weight)
        self.wte.weight = self.lm_head.weight
        self.wpe = nn.Embedding(settings.context, settings.n_embd)
        self.drop = nn.Dropout(settings.dropout)
        self.blocks = nn.Sequential(*[Block(settings) for _ in range(settings.n_layer)])
        self.ln_f = nn.LayerNorm(settings.n_embd)
        self.apply(self.start)

    def start(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, (Attention, MLP)):  # its children have been started already
            nn.init.normal_(module.c_proj.weight, 0.0, 0.02 * (2 * self.settings.n_layer) ** -0.5)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        return self.lm_head(self.ln_f(self.blocks(self.drop(x))))


def loss_of(model, inputs, targets):
    return F.cross_entropy(model(inputs).transpose(1, 2), targets)


def make_optimizer(model, settings):
    groups = {True: [], False: []}
    for p in model.parameters():
        groups[p.dim() > 1].append(p)
    return torch.optim.AdamW(
        [{"params": ps, "weight_decay": settings.weight_decay * decays} for decays, ps in groups.items()],
        lr=settings.max_lr, betas=(0.9, 0.95),
    )


def learning_rate(step, settings):
    s = settings
    if step >= s.steps:
        return s.min_lr
    if step <= s.warmup_steps:
        return s.max_lr * (step / s.warmup_steps)
    angle = math.pi * (step - s.warmup_steps) / (s.steps - s.warmup_steps)
    return (s.max_lr + s.min_lr) / 2 + math.cos(angle) * (s.max_lr - s.min_lr) / 2


def evaluate(model, ids, settings):
    mode, T = model.training, settings.context
    model.eval()
    try:
        with torch.inference_mode():
            n = len(ids) - 1
            whole = n // T * T
            total = 0.0
            if whole:
                total += loss_of(model, ids[:whole].view(-1, T), ids[1 : whole + 1].view(-1, T)).item() * whole
            if n > whole:
                total += loss_of(model, ids[whole:-1][None], ids[whole + 1 :][None]).item() * (n - whole)
    finally:
        model.train(mode)
    return total / n


@dataclass(frozen=True)
class Record:
    step: int
    train_loss: float
    val_loss: float
    rate: float = 0.0
    grad_norm: float = 0.0


def train(text, settings, on_record=lambda record: None):
    torch.manual_seed(settings.seed)
    g = torch.Generator()
    g.manual_seed(settings.seed)
    tokenizer = CharTokenizer(text)
    a, b = split(tokenizer.encode(text))
    model = GPT(settings, tokenizer.vocab_size)
    optimizer = make_optimizer(model, settings)
    records = [Record(0, evaluate(model, a[-len(b) :], settings), evaluate(model, b, settings))]
    on_record(records[0])
    for i in range(settings.steps):
        rate = learning_rate(i + 1, settings)
        loss_of(model, *draw_batch(a, settings.batch_size, settings.context, g)).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip, foreach=True)
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not (i + 1) % settings.eval_every:
            losses = evaluate(model, a[-len(b) :], settings), evaluate(model, b, settings)
            records.append(Record(i + 1, *losses, rate, float(norm)))
            on_record(records[-1])
    return model, tokenizer, records


def generate(model, ids, count, temperature=1.0, top_k=None, generator=None):
    mode = model.training
    model.eval()
    with torch.inference_mode():
        for _ in range(count):
            logits = model(ids[:, max(0, ids.size(1) - model.settings.context) :])[:, -1, :]
            if temperature == 0:
                new = logits.max(-1).indices
            else:
                k = min(top_k or logits.size(-1), logits.size(-1))
                values, indices = (logits / temperature).topk(k)
                choice = torch.multinomial(F.softmax(values, -1), 1, generator=generator)
                new = indices.gather(-1, choice)[:, 0]
            ids = torch.cat((ids, new[:, None]), 1)
    model.train(mode)
    return ids
