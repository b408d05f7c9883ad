"""A small GPT that learns to write like the story it reads, and then to tell texts apart, in one file.

Shapes: B batch, T tokens, C n_embd, H n_head, D C / H, V vocab_size, K n_classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Settings:
    """The sizes of the model, and how it is trained."""

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


# --- data -----------------------------------------------------------------------------------------


class CharTokenizer:
    """A token for each character of a text, in sorted order."""

    def __init__(self, text: str) -> None:
        self.characters = sorted(set(text))
        self.ids = {character: i for i, character in enumerate(self.characters)}

    @property
    def vocab_size(self) -> int:
        """How many different characters the text has."""
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        """The ids of a text, (N,), int64."""
        return torch.tensor([self.ids[character] for character in text], dtype=torch.int64)

    def decode(self, ids: Tensor) -> str:
        """The text of some ids."""
        return "".join(self.characters[i] for i in ids.tolist())


def split(ids: Tensor, share: float = 0.9) -> tuple[Tensor, Tensor]:
    """The first share of the ids to train on, and the rest to validate."""
    cut = int(share * len(ids))
    return ids[:cut], ids[cut:]


def draw_batch(
    ids: Tensor, batch_size: int, context: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Random windows: inputs (B, T) and, for each of their tokens, the one that follows."""
    starts = torch.randint(len(ids) - context, (batch_size,), generator=generator)
    windows = torch.stack([ids[start : start + context + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


# --- model ----------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.n_head = settings.n_head
        self.c_attn = nn.Linear(settings.n_embd, 3 * settings.n_embd)
        self.c_proj = nn.Linear(settings.n_embd, settings.n_embd)
        self.attn_dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        T = x.size(1)
        q, k, v = (self.split_heads(part) for part in self.c_attn(x).chunk(3, dim=-1))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, H, T, T)
        mask = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        scores = scores.masked_fill(~mask, -torch.inf)
        weights = self.attn_dropout(scores.softmax(dim=-1))
        return self.c_proj((weights @ v).transpose(1, 2).flatten(2))

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D)."""
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)


class MLP(nn.Module):
    """Each token by itself, through a layer four times as wide."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.c_fc = nn.Linear(settings.n_embd, 4 * settings.n_embd)
        self.c_proj = nn.Linear(4 * settings.n_embd, settings.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    """Attention and MLP, each added to the stream after it has read a normalised copy."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(settings.n_embd)
        self.attn = Attention(settings)
        self.ln_2 = nn.LayerNorm(settings.n_embd)
        self.mlp = MLP(settings)
        self.resid_dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.resid_dropout(self.attn(self.ln_1(x)))
        return x + self.resid_dropout(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    """Token ids (B, T) -> logits (B, T, V). The head is the token embedding's own matrix."""

    def __init__(self, settings: Settings, vocab_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.wte = nn.Embedding(vocab_size, settings.n_embd)
        self.wpe = nn.Embedding(settings.context, settings.n_embd)
        self.drop = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.n_layer))
        self.ln_f = nn.LayerNorm(settings.n_embd)
        self.lm_head = nn.Linear(settings.n_embd, vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight
        self.init_weights()

    def init_weights(self) -> None:
        """Normal weights of 0.02, those that write to the stream smaller with depth; biases 0."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.settings.n_layer))
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def stream(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, C), T at most context: what the last norm gives."""
        positions = torch.arange(ids.size(1), device=ids.device)
        x = self.drop(self.wte(ids) + self.wpe(positions))
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, V), T at most context."""
        return self.lm_head(self.stream(ids))


# --- training -------------------------------------------------------------------------------------


def loss_of(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of the targets, in nats."""
    logits = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_optimizer(model: GPT, settings: Settings) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves biases and norms alone."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.max_lr, betas=(0.9, 0.95))


def learning_rate(step: int, settings: Settings) -> float:
    """Up in a straight line to max_lr at warmup_steps, then half a cosine down to min_lr at steps."""
    if step < settings.warmup_steps:
        return settings.max_lr * step / settings.warmup_steps
    progress = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
    wave = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return settings.min_lr + wave * (settings.max_lr - settings.min_lr)


@torch.no_grad()
def evaluate(model: GPT, ids: Tensor, settings: Settings) -> float:
    """The mean loss over windows that lie side by side, with dropout off; the mode is left as it was."""
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    for start in range(0, len(ids) - 1, settings.context):
        window = ids[start : start + settings.context + 1]
        inputs, targets = window[None, :-1], window[None, 1:]
        total += loss_of(model, inputs, targets).item() * targets.numel()
        tokens += targets.numel()
    model.train(was_training)
    return total / tokens


@dataclass(frozen=True)
class Record:
    """What a look at the training shows: losses in nats a token, the rate, the gradients' norm."""

    step: int
    train_loss: float
    val_loss: float
    rate: float = 0.0
    grad_norm: float = 0.0


def train(
    text: str, settings: Settings, on_record: Callable[[Record], None] = lambda _: None
) -> tuple[GPT, CharTokenizer, list[Record]]:
    """Train a new model on a text.

    Returns:
        Model, tokenizer, and a record before the first step and after every `eval_every` steps.
        The same settings give the same run.
    """
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    tokenizer = CharTokenizer(text)
    train_ids, val_ids = split(tokenizer.encode(text))
    model = GPT(settings, tokenizer.vocab_size)
    optimizer = make_optimizer(model, settings)
    records = []

    def look(step: int, rate: float = 0.0, grad_norm: float = 0.0) -> None:
        losses = (evaluate(model, part, settings) for part in (train_ids[: len(val_ids)], val_ids))
        records.append(Record(step, *losses, rate, grad_norm))
        on_record(records[-1])

    look(0)
    for step in range(1, settings.steps + 1):
        rate = learning_rate(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs, targets = draw_batch(train_ids, settings.batch_size, settings.context, generator)
        loss = loss_of(model, inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)
        optimizer.step()
        if step % settings.eval_every == 0:
            look(step, rate, norm.item())
    return model, tokenizer, records


# --- sampling -------------------------------------------------------------------------------------


@torch.no_grad()
def generate(
    model: GPT,
    ids: Tensor,
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Continue each row of ids (B, T) by `count` tokens, and return all: (B, T + count).

    Args:
        temperature: divides the logits; 0 takes the most likely token.
        top_k: draw only among the k most likely tokens.
        generator: where the randomness comes from; None is torch's global state.
    """
    was_training = model.training
    model.eval()
    for _ in range(count):
        logits = model(ids[:, -model.settings.context :])[:, -1]  # (B, V)
        if temperature == 0:
            token = logits.argmax(dim=-1, keepdim=True)
        else:
            logits = logits / temperature
            if top_k is not None:
                kth = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]
                logits = logits.masked_fill(logits < kth, -torch.inf)
            token = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        ids = torch.cat([ids, token], dim=1)
    model.train(was_training)
    return ids


# --- classification -------------------------------------------------------------------------------


def pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of ids, (N,) each -> ids (B, T), filled with 0 on the right, and the rows' lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), lengths


class Classifier(nn.Module):
    """A language model with a second head: a score for each class, from what the last token knows."""

    def __init__(self, model: GPT, n_classes: int) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(model.settings.n_embd, n_classes)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids (B, T), padded on the right, and lengths (B,) -> (B, K)."""
        x = self.model.stream(ids)
        last = x[torch.arange(len(x), device=x.device), lengths - 1]  # (B, C)
        return self.head(last)


def freeze(classifier: Classifier) -> None:
    """Let the head, the last block and the last norm learn, and nothing else."""
    classifier.requires_grad_(False)
    for part in (classifier.head, classifier.model.blocks[-1], classifier.model.ln_f):
        part.requires_grad_(True)


def fine_tune(
    classifier: Classifier,
    rows: Sequence[Tensor],
    labels: Tensor,
    steps: int,
    lr: float,
    seed: int = 0,
) -> list[float]:
    """Train what is not frozen on all rows at once, and return the loss of each step."""
    torch.manual_seed(seed)
    was_training = classifier.training
    classifier.train()
    ids, lengths = pad(rows)
    learning = [p for p in classifier.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=lr, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(classifier(ids, lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    classifier.train(was_training)
    return losses


@torch.no_grad()
def accuracy(classifier: Classifier, rows: Sequence[Tensor], labels: Tensor) -> float:
    """The share of the rows whose largest score is that of their label."""
    was_training = classifier.training
    classifier.eval()
    guesses = classifier(*pad(rows)).argmax(dim=-1)
    classifier.train(was_training)
    return (guesses == labels).double().mean().item()


def main() -> None:
    """Train on the course's story, show the losses, and let the model write."""
    from common.text.texts import read_text

    def show(record: Record) -> None:
        losses = f"train {record.train_loss:.3f}  val {record.val_loss:.3f}"
        print(f"step {record.step:>4}  {losses}  lr {record.rate:.5f}  norm {record.grad_norm:.2f}")

    model, tokenizer, _ = train(read_text(), Settings(), show)
    prompt = tokenizer.encode("The sea ")[None]
    generator = torch.Generator().manual_seed(0)
    print(tokenizer.decode(generate(model, prompt, 200, 0.8, 20, generator)[0]))


if __name__ == "__main__":
    main()
