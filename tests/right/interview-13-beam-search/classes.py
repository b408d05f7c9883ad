"""A record for each hypothesis; the best so far is kept while the search goes on; greedy is a loop of its own."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass
class Hypothesis:
    ids: torch.Tensor
    total: float = 0.0
    n: int = 0

    def grown(self, token, log):
        return Hypothesis(F.pad(self.ids, (0, 1), value=token), self.total + log, self.n + 1)

    def score(self, alpha):
        return self.total / self.n**alpha if self.n else 0.0


class Best:
    def __init__(self, alpha):
        self.alpha, self.one, self.score = alpha, None, -float("inf")

    def offer(self, hypothesis):
        score = hypothesis.score(self.alpha)
        if self.one is None or score > self.score:
            self.one, self.score = hypothesis, score


def next_logs(model, hypotheses):
    logits = model(torch.stack([h.ids for h in hypotheses]))
    return F.log_softmax(logits[:, -1].to(torch.float64), dim=-1)


@torch.inference_mode()
def beam_search(model, ids, n_tokens, beam_size, eos=None, alpha=0.0):
    if beam_size <= 0:
        raise ValueError(f"a beam of {beam_size}")
    if n_tokens < 0:
        raise ValueError(f"n_tokens: {n_tokens}")
    if alpha < 0:
        raise ValueError(f"alpha: {alpha}")
    best = Best(alpha)
    beam = [Hypothesis(ids.clone())]
    if n_tokens == 0:
        return beam[0].ids, 0.0
    while beam:
        grown = [
            (h, token, log)
            for h, row in zip(beam, next_logs(model, beam).tolist())
            for token, log in enumerate(row)
        ]
        grown.sort(key=lambda candidate: candidate[0].total + candidate[2], reverse=True)
        beam = [h.grown(token, log) for h, token, log in grown[:beam_size]]
        for h in beam:
            if h.ids[-1] == eos or h.n == n_tokens:
                best.offer(h)
        beam = [h for h in beam if h.n < n_tokens and not h.ids[-1] == eos]
    h = Hypothesis(ids)
    while h.n < n_tokens and (h.n == 0 or h.ids[-1] != eos):
        log, token = next_logs(model, [h])[0].max(-1)
        h = h.grown(int(token), float(log))
    best.offer(h)
    return best.one.ids.clone(), best.score
