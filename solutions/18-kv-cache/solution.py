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
generate = problem(15).generate


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
    """Cached attention with the layers of any attention module that has problem 05's names."""
    q, k, v = (split_heads(part, n_head) for part in attn.c_attn(x).chunk(3, dim=-1))
    if cache is not None:  # an empty cache is false, too
        k, v = cache.append(k, v)
    T, S = q.size(2), k.size(2)
    scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, S)
    # The queries are the last T of S tokens, so theirs are the last T rows of the square mask.
    scores = scores.masked_fill(~causal_mask(S, x.device)[S - T :], -torch.inf)
    weights = attn.attn_dropout(torch.softmax(scores, dim=-1))
    return attn.resid_dropout(attn.c_proj(merge_heads(weights @ v)))


class _Reader(nn.Module):
    """A GPT-2 as generate sees it, which reads only what it has not read before."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training  # what generate finds, and leaves
        self.caches = [KVCache() for _ in model.h]

    def forward(self, window: Tensor) -> Tensor:
        """(B, up to max_context) -> logits (B, 1, V), those of the last position."""
        gpt2 = self.model
        if window.size(1) <= len(self.caches[0]):
            # It did not grow, it slid: every token is at a new position, and no key is right any more.
            self.caches = [KVCache() for _ in gpt2.h]
        past = len(self.caches[0])
        positions = torch.arange(past, window.size(1), device=window.device)
        x = gpt2.drop(gpt2.wte(window[:, past:]) + gpt2.wpe(positions))  # (B, T, C)
        for block, cache in zip(gpt2.h, self.caches, strict=True):
            x = x + _attend(block.attn, gpt2.config.n_head, block.ln_1(x), cache)
            x = x + block.mlp(block.ln_2(x))
        return gpt2.lm_head(gpt2.ln_f(x[:, -1:]))


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
    # lesson: about 25 lines. Read the prompt, then one token at a time; start over when it slides
    reader = _Reader(model)
    return generate(
        reader, batch, n_tokens, max_context, temperature, top_k, top_p, eos_id, generator
    )
