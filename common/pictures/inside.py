"""Inside a trained model while it reads a prompt: attention, guesses by layer, neighbours, and what each head is worth.

Shapes: T tokens, L n_layer, H n_head, D = C // H, V vocab_size. Any model with GPT-2's names will do.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.pictures.panels import Bars, Box, Heat, Panel, Row, Strips
from common.pictures.picture import Picture

MOST = 16  # tokens of a prompt that a picture has room for, the last ones
_LIKELY, _NEAR = 10, 6  # next tokens, neighbours
_SURE = ((0.5, 3), (0.1, 1), (0.0, 0))  # from which probability on, and the kind of box


@dataclass(frozen=True)
class Inside:
    """What was seen of one pass.

    Args:
        words: T labels. attention: (L, H, T, T). stream: (L + 1, T, C), before the first block and after each.
        logits: (T, V).
    """

    model: Any
    ids: Tensor
    words: tuple[str, ...]
    attention: Tensor
    stream: Tensor
    logits: Tensor
    decode: Callable[[int], str]


@torch.no_grad()
def look(model: Any, ids: list[int], decode: Callable[[int], str]) -> Inside:
    """Let the model read and keep what passes by.

    Args:
        decode: the text of one token.
    """
    limit = min(MOST, model.config.n_positions)
    read = torch.tensor([ids[-limit:]])
    qkv: list[Tensor] = []
    stream: list[Tensor] = []
    with contextlib.ExitStack() as hooks:
        watched = [(block.attn.c_attn, qkv) for block in model.h]
        watched += [(module, stream) for module in (model.drop, *model.h)]
        for module, kept in watched:
            keep = lambda _m, _i, output, kept=kept: kept.append(output[0])  # noqa: E731
            hooks.enter_context(module.register_forward_hook(keep))
        logits = model(read)[0]
    attention = torch.stack([_weights(each, model.config.n_head) for each in qkv])
    words = tuple(_label(decode(i)) for i in read[0].tolist())
    return Inside(model, read, words, attention, torch.stack(stream), logits, decode)


def _weights(qkv: Tensor, n_head: int) -> Tensor:
    """(T, 3C) -> (H, T, T): what queries and keys make of each other, as every GPT-2 does."""
    q, k, _ = (part.unflatten(-1, (n_head, -1)).transpose(0, 1) for part in qkv.chunk(3, dim=-1))
    scores = q @ k.mT / math.sqrt(q.size(-1))
    closed = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
    return scores.masked_fill(closed, -torch.inf).softmax(-1)


def overview(inside: Inside, layer: int, head: int) -> Picture:
    """All views in one picture, with the attention of one head."""
    views = [
        attention(inside, layer, head),
        next_token(inside),
        by_layer(inside),
        neighbours(inside),
        removed(inside),
    ]
    panels: list[Panel] = [panel for view in views for panel in view.panels]
    return Picture(
        f"Inside the model: “{' '.join(inside.words)}”",
        " ".join(view.alt for view in views),
        tuple(panels),
        " ".join(view.note for view in views if view.note),
        across=1,
    )


def attention(inside: Inside, layer: int, head: int) -> Picture:
    """The weights of one head over the prompt."""
    heat = Heat(
        f"attention of layer {layer}, head {head}", _rows(inside.attention[layer, head]), inside.words,
        inside.words, "token that asks", "token that is asked", most=1.0,
    )  # fmt: skip
    return Picture("Attention", f"The attention weights of layer {layer}, head {head}.", (heat,))


def next_token(inside: Inside) -> Picture:
    """What may come next, and how sure the model was at each position."""
    probs = inside.logits.double().softmax(-1)
    likely = probs[-1].topk(min(_LIKELY, probs.size(-1)))
    labels = tuple(_label(inside.decode(i)) for i in likely.indices.tolist())
    entropy = -(probs * probs.clamp_min(1e-30).log()).sum(-1)
    panels: list[Panel] = [
        Bars("next token: probability", labels, (("", _row(likely.values)),), digits=3)
    ]
    if len(inside.words) > 1:
        came = inside.ids[0, 1:]
        surprise = -probs[:-1].gather(-1, came[:, None])[:, 0].clamp_min(1e-30).log()
        steps = tuple(f"{a} → {b}" for a, b in itertools.pairwise(inside.words))
        series = (
            ("entropy of the guess", _row(entropy[:-1])),
            ("surprise at what came", _row(surprise)),
        )
        panels.append(Bars("at each position, in nats", steps, series))
    return Picture(
        "The next token",
        f"Most likely next: {labels[0]} with probability {float(likely.values[0]):.2f}.",
        tuple(panels),
        f"The entropy of this guess is {float(entropy[-1]):.2f} nats; knowing nothing it is ln V = "
        f"{math.log(probs.size(-1)):.2f}.",
    )


def by_layer(inside: Inside) -> Picture:
    """The logit lens: what the head would say of the stream after each block."""
    model, rows = inside.model, []
    with torch.no_grad():
        for depth, stream in enumerate(inside.stream):
            best = model.lm_head(model.ln_f(stream)).softmax(-1).max(-1)
            boxes = tuple(
                Box(t, t + 1, _label(inside.decode(i)), next(k for least, k in _SURE if p >= least))
                for t, (p, i) in enumerate(
                    zip(best.values.tolist(), best.indices.tolist(), strict=True)
                )
            )
            rows.append(("embeddings" if depth == 0 else f"block {depth - 1}", boxes))
    read = tuple(Box(t, t + 1, word) for t, word in enumerate(inside.words))
    kinds = ("below 10 %", "10 to 50 %", "", "above 50 %")
    return Picture(
        "The guess by layer",
        "The most likely next token at each position, after each block.",
        (
            Strips(
                "logit lens",
                (("the prompt", read), *rows),
                kinds,
            ),
        ),
    )


def neighbours(inside: Inside) -> Picture:
    """The tokens whose embeddings point the same way as those of the prompt."""
    table = torch.nn.functional.normalize(inside.model.wte.weight.detach(), dim=-1)
    rows = []
    for number in dict.fromkeys(inside.ids[0].tolist()):
        near = (table @ table[number]).topk(min(_NEAR + 1, len(table)))
        found = [
            (v, i)
            for v, i in zip(near.values.tolist(), near.indices.tolist(), strict=True)
            if i != number
        ]
        boxes = tuple(
            Box(k, k + 1, f"{_label(inside.decode(i))} {v:.2f}")
            for k, (v, i) in enumerate(found[:_NEAR])
        )
        rows.append((_label(inside.decode(number)), boxes))
    return Picture(
        "Neighbours",
        "For each token of the prompt the tokens with the most similar embeddings.",
        (Strips("nearest in the embedding, by cosine", tuple(rows)),),
    )


@torch.no_grad()
def removed(inside: Inside) -> Picture:
    """How the guess for the next token changes when one head, or one layer, says nothing."""
    model = inside.model
    before = inside.logits[-1].double().log_softmax(-1)

    def change() -> float:
        after = model(inside.ids)[0, -1].double().log_softmax(-1)
        return float(f"{float((before.exp() * (before - after)).sum().clamp_min(0)):.4g}")

    heads, layers = [], []
    for block in model.h:
        changes = []
        for head in range(model.config.n_head):
            with _silent_head(block.attn.c_proj, head, model.config.head_dim):
                changes.append(change())
        heads.append(tuple(changes))
        with contextlib.ExitStack() as stack:
            for part in (block.attn, block.mlp):
                stack.enter_context(part.register_forward_hook(lambda _m, _i, output: output * 0))
            layers.append(change())
    names = tuple(f"block {i}" for i in range(len(layers)))
    return Picture(
        "What is missed",
        "How much the distribution of the next token changes without one head, or one layer.",
        (
            Heat(
                "one head removed", tuple(heads), names, tuple(f"head {h}" for h in range(len(heads[0]))),
            ),
            Bars("one layer removed", names, (("", tuple(layers)),), "nats", 3),
        ),
        "Removed: the change is the Kullback-Leibler divergence of the next token's distribution, in nats.",
    )  # fmt: skip


@contextlib.contextmanager
def _silent_head(c_proj: Any, head: int, size: int) -> Generator[None]:
    def silence(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        x = inputs[0].clone()
        x[..., head * size : (head + 1) * size] = 0
        return (x,)

    hook = c_proj.register_forward_pre_hook(silence)
    try:
        yield
    finally:
        hook.remove()


def _label(text: str) -> str:
    """A token as a label: a space at its start is a dot, a line feed is told."""
    return text.replace(" ", "·").replace("\n", "↵") or "(nothing)"


def _row(values: Tensor) -> Row:
    return tuple(round(v, 4) for v in values.tolist())


def _rows(values: Tensor) -> tuple[Row, ...]:
    return tuple(tuple(round(v, 3) for v in row) for row in values.tolist())
