"""A class that holds the models and the text; verify by sorting out texts step by step."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


def residual(p, q):
    gap = p.sub(q)
    gap = gap * (gap > 0)
    mass = gap.sum(-1, keepdim=True)
    return (gap / mass).where(mass.gt(0).expand_as(p), p)


def verify(p, q, drafted, generator=None):
    if len(p[0]) - len(drafted[0]) != 1:
        raise ValueError(f"{len(p[0])} and {len(drafted[0])} places")
    B, k = drafted.shape
    tokens = drafted.new_full((B, k + 1), -1)
    counts = drafted.new_zeros(B)
    alive = torch.arange(B, device=p.device)
    for j in range(k):
        x = drafted[alive, j].unsqueeze(1)
        p_j, q_j = p[alive, j], q[alive, j]
        u = torch.rand(len(alive), 1, generator=generator, device=p.device)
        good = (u * q_j.gather(1, x) < p_j.gather(1, x)).squeeze(1)
        tokens[alive, j] = x.squeeze(1)
        lost = alive[~good]
        if len(lost):
            tokens[lost, j] = torch.multinomial(residual(p[lost, j], q[lost, j]), 1, generator=generator).squeeze(1)
            counts[lost] = j + 1
        alive = alive[good]
    if len(alive):
        tokens[alive, k] = torch.multinomial(p[alive, k], 1, generator=generator).squeeze(1)
        counts[alive] = k + 1
    return tokens, counts


@dataclass
class Speculator:
    target: object
    draft: object
    generator: Generator | None

    def propose(self, text: Tensor, k: int) -> tuple[Tensor, list[Tensor]]:
        seen = []
        for _ in range(k):
            seen += [self.draft(text)[0, -1].softmax(-1)]
            text = torch.cat([text, torch.multinomial(seen[-1], 1, generator=self.generator)[None]], 1)
        return text, seen

    def round(self, text: Tensor, k: int) -> Tensor:
        longer, seen = self.propose(text, k)
        p = self.target(longer)[:, -(k + 1) :].softmax(-1)
        q = torch.stack(seen)[None] if seen else p[:, 1:]
        tokens, counts = verify(p, q, longer[:, text.size(1) :], self.generator)
        return torch.cat([text, tokens[:, : counts[0]]], 1)


def generate(target, draft, ids, n_tokens, k, generator=None):
    if k < 1 or ids.ndim != 2 or ids.size(0) != 1:
        raise ValueError(f"k is {k}, and ids are of shape {tuple(ids.shape)}")
    goal = ids.size(1) + n_tokens
    speculator = Speculator(target, draft, generator)
    with torch.no_grad():
        while (left := goal - ids.size(1)) > 0:
            ids = speculator.round(ids, min(k, left - 1))
    return ids
