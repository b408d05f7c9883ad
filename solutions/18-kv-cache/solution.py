"""The key-value cache: generation that reads each token once.

Shapes: B batch, T new tokens, S tokens so far, the new ones included, C n_embd, H n_head,
D = C // H, V vocab_size.
"""

import math

import torch
from torch import Generator, Tensor, nn

from common import problem

split_heads = problem(4).split_heads
merge_heads = problem(4).merge_heads
CausalSelfAttention = problem(5).CausalSelfAttention
causal_mask = problem(5).causal_mask
filter_logits = problem(15).filter_logits


class KVCache:
    """The past of one attention layer: the keys and values of all tokens so far."""

    def __init__(self) -> None:
        # lesson: about 2 lines
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def __len__(self) -> int:
        """How many tokens are held."""
        # lesson: 1 line
        return 0 if self.keys is None else self.keys.size(2)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of T new tokens, each (B, H, T, D).

        Returns:
            Keys and values of all tokens so far, each (B, H, S, D), the oldest first.
        """
        # lesson: about 5 lines
        if self.keys is not None:
            key = torch.cat([self.keys, key], dim=2)
            value = torch.cat([self.values, value], dim=2)
        self.keys, self.values = key, value
        return key, value


class CachedCausalSelfAttention(CausalSelfAttention):
    """Problem 05's attention, which can go on from a past that it has seen before."""

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C).

        Args:
            x: the new tokens only.
            cache: of the tokens before them; x is added to it. Without one, x is the whole text.
        """
        # lesson: about 9 lines. Problem 05, with keys and values of the past, and a mask that fits
        return _attend(self, self.n_head, x, cache)


def _attend(attn: nn.Module, n_head: int, x: Tensor, cache: KVCache | None) -> Tensor:
    """Cached attention with the layers of any module that has the names of problem 05."""
    q, k, v = (split_heads(part, n_head) for part in attn.c_attn(x).chunk(3, dim=-1))
    if cache is not None:  # an empty cache is false, too
        k, v = cache.append(k, v)
    T, S = q.size(2), k.size(2)
    scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, S)
    # The queries are the last T of S tokens, so theirs are the last T rows of the square mask.
    scores = scores.masked_fill(~causal_mask(S, x.device)[S - T :], -torch.inf)
    weights = attn.attn_dropout(torch.softmax(scores, dim=-1))
    return attn.resid_dropout(attn.c_proj(merge_heads(weights @ v)))


def _read(model: nn.Module, ids: Tensor, caches: list[KVCache]) -> Tensor:
    """Problem 10's forward for the tokens that follow those in the caches: (B, T) -> (B, V), the last one's logits."""
    past = len(caches[0])
    positions = torch.arange(past, past + ids.size(1), device=ids.device)
    x = model.drop(model.wte(ids) + model.wpe(positions))  # (B, T, C)
    for block, cache in zip(model.h, caches, strict=True):
        x = x + _attend(block.attn, model.config.n_head, block.ln_1(x), cache)
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(model.ln_f(x[:, -1]))


@torch.no_grad()  # lesson
def generate_cached(
    model: nn.Module,
    batch: Tensor,
    n_tokens: int,
    max_context: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Problem 15's generate, token for token, without reading the past again.

    While the text fits max_context each of its tokens goes through the model once. After that the
    window slides, positions shift, and each step reads the whole window.

    Args:
        model: a GPT-2 with problem 10's names; never changed. The others: as in generate.

    Returns:
        (B, n_tokens), int64: what generate returns.
    """
    # lesson: about 25 lines. Read what is new, draw as generate does; start over when the window slides
    text, caches = batch, [KVCache() for _ in model.h]
    ended = torch.zeros_like(batch[:, :1], dtype=torch.bool)  # (B, 1)
    was_training = model.training
    model.eval()
    try:
        for _ in range(n_tokens):
            if text.size(1) > max_context:
                # The window slides: every token is at a new position, and no key is right any more.
                caches = [KVCache() for _ in model.h]
            window = text[:, -max_context:]
            logits = _read(model, window[:, len(caches[0]) :], caches)  # (B, V)
            if temperature == 0:
                token = logits.argmax(dim=-1, keepdim=True)  # (B, 1)
            else:
                probs = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)
                token = torch.multinomial(probs, num_samples=1, generator=generator)
            if eos_id is not None:
                token = token.masked_fill(ended, eos_id)
                ended = token == eos_id
            text = torch.cat([text, token], dim=1)
            if ended.all():
                break
    finally:
        model.train(was_training)
    return text[:, batch.size(1) :]
