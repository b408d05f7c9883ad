"""Functional layers, a LambdaLR, the loss by nll_loss, records from a generator, sampling by Gumbel noise."""

import contextlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector


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
        self.table = OrderedDict((c, i) for i, c in enumerate(sorted(frozenset(text))))
        self.back = [*self.table]

    vocab_size = property(lambda self: len(self.table))

    def encode(self, text):
        return torch.as_tensor([self.table[c] for c in text], dtype=torch.int64)

    def decode(self, ids):
        return str.join("", (self.back[i] for i in ids.flatten().tolist()))


def split(ids, share=0.9):
    return ids.tensor_split([int(share * len(ids))])


def draw_batch(ids, batch_size, context, generator):
    windows = ids.unfold(0, context + 1, 1)  # all that there are
    chosen = windows[torch.randint(high=windows.shape[0], size=[batch_size], generator=generator)]
    return chosen[..., :context].contiguous(), chosen[..., 1:].contiguous()


class Attention(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.c_attn = nn.Linear(settings.n_embd, settings.n_embd * 3)
        self.c_proj = nn.Linear(settings.n_embd, settings.n_embd)

    def forward(self, x):
        heads = self.settings.n_head
        B, T, C = x.shape
        q, k, v = torch.tensor_split(self.c_attn(x), 3, dim=2)
        q, k, v = (p.reshape(B, T, heads, -1).permute(0, 2, 1, 3).reshape(B * heads, T, -1) for p in (q, k, v))
        late = torch.arange(T) > torch.arange(T)[:, None]
        scores = torch.bmm(q / math.sqrt(C / heads), k.mT)
        scores[:, late] = float("-inf")
        weights = F.dropout(F.softmax(scores, dim=2), self.settings.dropout, training=self.training)
        out = torch.bmm(weights, v).reshape(B, heads, T, -1).permute(0, 2, 1, 3)
        return self.c_proj(out.reshape(B, T, C))


class MLP(nn.Sequential):
    def __init__(self, settings):
        width = settings.n_embd
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU("none")
        self.c_proj = nn.Linear(4 * width, width)


class Block(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.p = settings.dropout
        self.attn, self.mlp = Attention(settings), MLP(settings)
        self.ln_1, self.ln_2 = (nn.LayerNorm(settings.n_embd) for _ in "12")

    def forward(self, x):
        normed = F.layer_norm(x, x.shape[-1:], self.ln_1.weight, self.ln_1.bias)
        after = x + F.dropout(self.attn(normed), self.p, self.training)
        return after + F.dropout(self.mlp(self.ln_2(after)), self.p, self.training)


class GPT(nn.Module):
    def __init__(self, settings, vocab_size):
        super().__init__()
        self.settings = settings
        self.wte, self.wpe = (nn.Embedding(n, settings.n_embd) for n in (vocab_size, settings.context))
        self.blocks = nn.ModuleList(map(Block, [settings] * settings.n_layer))
        self.ln_f = nn.LayerNorm(settings.n_embd)
        self.lm_head = nn.Linear(settings.n_embd, vocab_size, bias=False)
        for module in self.modules():
            if hasattr(module, "weight") and not isinstance(module, nn.LayerNorm):
                module.weight.data = torch.randn_like(module.weight) * 0.02
                if getattr(module, "bias", None) is not None:
                    module.bias.data.fill_(0)
        for block in self.blocks:
            for part in (block.attn, block.mlp):
                part.c_proj.weight.data /= (2 * settings.n_layer) ** 0.5
        self.lm_head.weight = self.wte.weight

    def forward(self, ids):
        places = torch.arange(ids.shape[-1]).expand_as(ids)
        x = F.embedding(ids, self.wte.weight) + F.embedding(places, self.wpe.weight)
        x = F.dropout(x, self.settings.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        return F.linear(F.layer_norm(x, x.shape[-1:], self.ln_f.weight, self.ln_f.bias), self.lm_head.weight)


def loss_of(model, inputs, targets):
    return F.nll_loss(F.log_softmax(model(inputs), dim=-1).reshape(targets.numel(), -1), targets.reshape(-1))


def make_optimizer(model, settings):
    spared = {p for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    spared |= {m.bias for m in model.modules() if isinstance(m, nn.Linear) and m.bias is not None}
    rest = [p for p in model.parameters() if p not in spared]
    optimizer = torch.optim.AdamW(rest, settings.max_lr, (0.9, 0.95), weight_decay=settings.weight_decay)
    optimizer.add_param_group({"params": [*spared], "weight_decay": 0})
    return optimizer


def learning_rate(step, settings):
    up = step / settings.warmup_steps
    down = min(1, (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps))
    if up < 1:
        return settings.max_lr * up
    share = math.cos(down * math.pi / 2) ** 2  # half of 1 + cos of twice the angle
    return share * settings.max_lr + (1 - share) * settings.min_lr


@contextlib.contextmanager
def quietly(model):
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


def evaluate(model, ids, settings):
    with quietly(model):
        pairs = zip(ids[:-1].split(settings.context), ids[1:].split(settings.context), strict=True)
        losses = [(loss_of(model, a[None], b[None]), len(b)) for a, b in pairs]
    return float(sum(loss.double() * n for loss, n in losses) / sum(n for _, n in losses))


@dataclass(frozen=True)
class Record:
    step: int
    train_loss: float
    val_loss: float
    rate: float = 0.0
    grad_norm: float = 0.0


def running(model, parts, settings):
    """The records, as they come."""
    train_ids, val_ids = parts
    optimizer = make_optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: learning_rate(done + 1, settings) / settings.max_lr
    )
    generator = torch.Generator().manual_seed(settings.seed)
    batch = partial(draw_batch, train_ids, settings.batch_size, settings.context, generator)

    def losses():
        return [evaluate(model, part, settings) for part in (train_ids[: len(val_ids)], val_ids)]

    yield Record(0, *losses())
    for step in range(1, 1 + settings.steps):
        optimizer.zero_grad(set_to_none=False)
        loss_of(model, *batch()).backward()
        norm = parameters_to_vector([p.grad for p in model.parameters()]).norm().item()
        factor = min(1.0, settings.grad_clip / (norm + 1e-6))
        for p in model.parameters():
            p.grad.mul_(factor)
        rate = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        if step % settings.eval_every == 0:
            yield Record(step, *losses(), rate, norm)


def train(text, settings, on_record=None):
    torch.manual_seed(settings.seed)
    tokenizer = CharTokenizer(text)
    model = GPT(settings, tokenizer.vocab_size).train()
    records = []
    for record in running(model, split(tokenizer.encode(text)), settings):
        records.append(record)
        if on_record:
            on_record(record)
    return model, tokenizer, records


def generate(model, ids, count, temperature=1.0, top_k=None, generator=None):
    out = F.pad(ids, (0, count))
    with quietly(model):
        for end in range(ids.size(1), out.size(1)):
            logits = model(out[:, max(0, end - model.settings.context) : end])[:, -1]
            if temperature > 0:
                logits = logits / temperature
                if top_k is not None and top_k < logits.size(1):
                    limit = logits.sort(descending=True).values[:, top_k - 1].unsqueeze(1)
                    logits = torch.where(logits >= limit, logits, -math.inf)
                noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
                logits = logits - (-noise.log()).log()
            out[:, end] = logits.argmax(1)
    return out
