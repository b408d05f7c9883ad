"""Spelled out: a loop over heads, the softmax and the loss by hand, one group for each parameter, a Trainer."""

from dataclasses import dataclass
from math import cos, pi, sqrt

import torch
from torch import nn


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
        self.letters = ""
        for letter in sorted(text):
            if letter not in self.letters:
                self.letters += letter

    @property
    def vocab_size(self):
        return len(self.letters)

    def encode(self, text):
        ids = torch.empty(len(text), dtype=torch.int64)
        for i, letter in enumerate(text):
            ids[i] = self.letters.index(letter)
        return ids

    def decode(self, ids):
        text = ""
        for i in ids:
            text += self.letters[i]
        return text


def split(ids, share=0.9):
    n = int(share * len(ids))
    return ids[:n].clone(), ids[n:].clone()


def draw_batch(ids, batch_size, context, generator):
    inputs = torch.empty(batch_size, context, dtype=torch.int64)
    targets = torch.empty(batch_size, context, dtype=torch.int64)
    for row in range(batch_size):
        start = int(torch.rand((), generator=generator, dtype=torch.float64) * (len(ids) - context))
        inputs[row] = ids[start : start + context]
        targets[row] = ids[start + 1 : start + 1 + context]
    return inputs, targets


def softmax(x):
    powers = torch.exp(x - x.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


class Attention(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.n_head = settings.n_head
        self.width = settings.n_embd // settings.n_head
        self.c_attn = nn.Linear(settings.n_embd, 3 * settings.n_embd)
        self.c_proj = nn.Linear(settings.n_embd, settings.n_embd)
        self.dropout = nn.Dropout(settings.dropout)
        future = torch.full((settings.context, settings.context), float("-inf")).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x):
        T, C = x.shape[1:]
        queries, keys, values = self.c_attn(x).split(C, dim=2)
        heads = []
        for h in range(self.n_head):
            own = slice(h * self.width, (h + 1) * self.width)
            scores = torch.einsum("btd,bsd->bts", queries[..., own], keys[..., own]) * self.width**-0.5
            weights = self.dropout(softmax(scores + self.future[:T, :T]))
            heads.append(torch.einsum("bts,bsd->btd", weights, values[..., own]))
        return self.c_proj(torch.cat(heads, dim=2))


class MLP(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.c_fc = nn.Linear(settings.n_embd, 4 * settings.n_embd)
        self.c_proj = nn.Linear(4 * settings.n_embd, settings.n_embd)

    def forward(self, x):
        hidden = self.c_fc(x)
        return self.c_proj(hidden * 0.5 * (1 + torch.erf(hidden / sqrt(2))))


class Block(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.ln_1 = nn.LayerNorm(settings.n_embd)
        self.attn = Attention(settings)
        self.ln_2 = nn.LayerNorm(settings.n_embd)
        self.mlp = MLP(settings)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x):
        normed = self.ln_1(x)
        attended = self.dropout(self.attn(normed))
        x = x + attended
        normed = self.ln_2(x)
        thought = self.dropout(self.mlp(normed))
        return x + thought


class GPT(nn.Module):
    def __init__(self, settings, vocab_size):
        super().__init__()
        self.context = settings.context
        self.wte = nn.Embedding(vocab_size, settings.n_embd)
        self.wpe = nn.Embedding(settings.context, settings.n_embd)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList()
        for _ in range(settings.n_layer):
            self.blocks.append(Block(settings))
        self.ln_f = nn.LayerNorm(settings.n_embd)
        self.lm_head = nn.Linear(settings.n_embd, vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight
        with torch.no_grad():
            self.wte.weight.copy_(0.02 * torch.randn(vocab_size, settings.n_embd))
            self.wpe.weight.copy_(0.02 * torch.randn(settings.context, settings.n_embd))
            for block in self.blocks:
                for layer, size in (
                    (block.attn.c_attn, 0.02), (block.mlp.c_fc, 0.02),
                    (block.attn.c_proj, 0.02 / sqrt(2 * settings.n_layer)),
                    (block.mlp.c_proj, 0.02 / sqrt(2 * settings.n_layer)),
                ):
                    layer.weight.copy_(size * torch.randn(layer.weight.shape))
                    layer.bias.zero_()

    def forward(self, ids):
        positions = torch.zeros_like(ids)
        for t in range(ids.shape[1]):
            positions[:, t] = t
        x = self.dropout(self.wte(ids) + self.wpe(positions))
        for i in range(len(self.blocks)):
            x = self.blocks[i](x)
        return torch.einsum("btc,vc->btv", self.ln_f(x), self.wte.weight)


def loss_of(model, inputs, targets):
    logits = model(inputs)
    right = logits.gather(2, targets.unsqueeze(2)).squeeze(2)
    return (torch.logsumexp(logits, dim=2) - right).sum() / targets.numel()


def make_optimizer(model, settings):
    groups = []
    for name, parameter in model.named_parameters():
        spared = name.endswith("bias") or ".ln_" in f".{name}"
        groups.append({"params": [parameter], "weight_decay": 0.0 if spared else settings.weight_decay})
    return torch.optim.AdamW(groups, lr=settings.max_lr, betas=(0.9, 0.95), foreach=False)


def learning_rate(step, settings):
    if step < settings.warmup_steps:
        return step * (settings.max_lr / settings.warmup_steps)
    if step > settings.steps:
        step = settings.steps
    done, way = step - settings.warmup_steps, settings.steps - settings.warmup_steps
    return settings.max_lr - (settings.max_lr - settings.min_lr) * (1 - cos(pi * done / way)) / 2


class Looking:
    """Eval mode without a graph for a while; afterwards everything is as it was."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.mode, self.graph = self.model.training, torch.is_grad_enabled()
        self.model.train(False)
        torch.set_grad_enabled(False)

    def __exit__(self, *_):
        self.model.train(self.mode)
        torch.set_grad_enabled(self.graph)


def evaluate(model, ids, settings):
    sums, start = [], 0
    with Looking(model):
        while start + 1 < len(ids):
            end = min(start + settings.context, len(ids) - 1)
            loss = loss_of(model, ids[start:end].unsqueeze(0), ids[start + 1 : end + 1].unsqueeze(0))
            sums.append(float(loss) * (end - start))
            start = end
    return sum(sums) / (len(ids) - 1)


@dataclass(frozen=True)
class Record:
    step: int
    train_loss: float
    val_loss: float
    rate: float = 0.0
    grad_norm: float = 0.0


class Trainer:
    def __init__(self, text, settings, on_record):
        torch.manual_seed(settings.seed)
        self.settings, self.on_record, self.records = settings, on_record, []
        self.tokenizer = CharTokenizer(text)
        self.learned, self.kept = split(self.tokenizer.encode(text))
        self.model = GPT(settings, self.tokenizer.vocab_size)
        self.optimizer = make_optimizer(self.model, settings)
        self.generator = torch.Generator().manual_seed(settings.seed)

    def look(self, step, rate, norm):
        middle = (len(self.learned) - len(self.kept)) // 2
        part = self.learned[middle : middle + len(self.kept)]
        losses = [evaluate(self.model, ids, self.settings) for ids in (part, self.kept)]
        self.records.append(Record(step, losses[0], losses[1], rate, norm))
        self.on_record(self.records[-1])

    def clip(self):
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = sum(float((g**2).sum()) for g in gradients) ** 0.5
        if norm > self.settings.grad_clip:
            for g in gradients:
                g *= self.settings.grad_clip / norm
        return norm

    def step(self, number):
        self.model.zero_grad()
        rate = learning_rate(number, self.settings)
        inputs, targets = draw_batch(self.learned, self.settings.batch_size, self.settings.context, self.generator)
        self.model.train()
        loss_of(self.model, inputs, targets).backward()
        norm = self.clip()
        for group in self.optimizer.param_groups:
            group.update(lr=rate)
        self.optimizer.step()
        return rate, norm

    def run(self):
        self.look(0, 0.0, 0.0)
        number = 0
        while number < self.settings.steps:
            number += 1
            rate, norm = self.step(number)
            if number % self.settings.eval_every == 0:
                self.look(number, rate, norm)
        return self.model, self.tokenizer, self.records


def train(text, settings, on_record=lambda record: None):
    return Trainer(text, settings, on_record).run()


def generate(model, ids, count, temperature=1.0, top_k=None, generator=None):
    with Looking(model):
        for _ in range(count):
            rows = []
            for row in model(ids[:, -model.wpe.num_embeddings :])[:, -1]:
                if temperature == 0:
                    rows.append(int(row.argmax()))
                    continue
                order = torch.argsort(row, descending=True)
                if top_k is not None:
                    order = order[:top_k]
                borders = softmax(row[order].double() / temperature).cumsum(0)
                draw = torch.rand((), generator=generator, dtype=torch.float64) * borders[-1]
                rows.append(int(order[int(torch.searchsorted(borders, draw, right=True))]))
            ids = torch.cat([ids, torch.tensor(rows).view(-1, 1)], dim=1)
    return ids
