"""generate fills a buffer of the final length; verify works in float64 with boolean masks."""

import torch
from torch.nn.functional import softmax


def residual(p, q):
    out = (p - q).clamp_min(0)
    mass = out.sum(dim=-1)
    out = out / mass.unsqueeze(-1)
    mask = mass <= 0
    out[mask] = p[mask]
    return out


def verify(p, q, drafted, generator=None):
    B, k = drafted.shape
    if p.shape[1] != k + 1:
        raise ValueError("wrong number of places: %d" % p.shape[1])
    keep = torch.zeros(B, dtype=torch.int64, device=p.device)
    open_ = torch.ones(B, dtype=torch.bool, device=p.device)
    r = torch.rand((k, B), generator=generator, device=p.device, dtype=torch.float64)
    every = torch.arange(B, device=p.device)
    for j in range(k):
        px, qx = p[every, j, drafted[:, j]].double(), q[every, j, drafted[:, j]].double()
        open_ = open_ & ((px >= qx) | (r[j] < px / qx))
        keep = keep + open_.long()
    final = p[every, keep].clone()
    if k:
        cut = keep < k
        final[cut] = residual(p[every, keep][cut], q[every, keep.clamp(max=k - 1)][cut])
    tokens = torch.full((B, k + 1), -1, dtype=torch.int64, device=p.device)
    for j in range(k):
        tokens[:, j] = torch.where(keep > j, drafted[:, j], -1)
    tokens[every, keep] = torch.multinomial(final, 1, generator=generator)[:, 0]
    return tokens, keep + 1


@torch.inference_mode()
def _rounds(target, draft, ids, n_tokens, k, generator):
    T = ids.shape[1]
    buffer = torch.cat([ids, ids.new_zeros(1, n_tokens)], dim=1)
    have, want = T, T + n_tokens
    while have != want:
        q, at = [], have
        for _ in range(k):
            if at == want - 1:
                break
            q.append(softmax(draft(buffer[:, :at])[:, at - 1], dim=-1))
            buffer[:, at] = torch.multinomial(q[-1], 1, generator=generator)[0]
            at += 1
        p = softmax(target(buffer[:, :at])[0, have - 1 : at], dim=-1)[None]
        q = torch.stack(q, dim=1) if q else torch.empty(1, 0, p.shape[-1])
        tokens, counts = verify(p, q, buffer[:, have:at], generator)
        n = counts.tolist()[0]
        buffer[:, have : have + n] = tokens[:, :n]
        have += n
    return buffer


def generate(target, draft, ids, n_tokens, k, generator=None):
    if k < 1:
        raise ValueError(f"k={k}")
    if ids.dim() != 2 or ids.size(0) != 1:
        raise ValueError(f"ids.shape={tuple(ids.shape)}")
    return _rounds(target, draft, ids, n_tokens, k, generator).clone()
