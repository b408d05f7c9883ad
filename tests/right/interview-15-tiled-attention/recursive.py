"""Merging as a tree: the keys are halved until they fit into a tile; both loops are recursion and comprehension."""

import torch


def partial_attention(scores, v):
    top = scores.amax(dim=-1, keepdim=True)
    base = top.masked_fill(top.isneginf(), 0)
    e = torch.exp(scores - base)
    ones = torch.ones_like(v[..., :1])
    return e @ v, top, e @ ones


def merge(first, second):
    top = torch.stack([first[1], second[1]]).amax(0)
    base = top.masked_fill(top.isneginf(), 0)
    parts = [[torch.exp(m - base) * x for x in (w, t)] for w, m, t in (first, second)]
    (w1, t1), (w2, t2) = parts
    return w1 + w2, top, t1 + t2


def tiled_attention(q, k, v, tile_size, causal=False):
    if tile_size < 1:
        raise ValueError("tile_size is %d" % tile_size)
    t, s = q.size(-2), k.size(-2)
    if causal and t != s:
        raise ValueError("%d and %d" % (t, s))

    def look(queries, start, tiles):
        if len(tiles) > 1:
            half = len(tiles) // 2
            return merge(look(queries, start, tiles[:half]), look(queries, start, tiles[half:]))
        j = tiles[0]
        scores = queries @ k.narrow(-2, j, min(tile_size, s - j)).mT
        if causal and j == start:
            n = scores.size(-1)
            scores = scores.masked_fill(~torch.ones(n, n, dtype=torch.bool, device=q.device).tril(), float("-inf"))
        return partial_attention(scores, v.narrow(-2, j, min(tile_size, s - j)))

    def rows(start):
        queries = q.narrow(-2, start, min(tile_size, t - start)) * q.size(-1) ** -0.5
        w, _, total = look(queries, start, [j for j in range(0, s, tile_size) if not causal or j <= start])
        return w / total

    return torch.cat([rows(i) for i in range(0, t, tile_size)], dim=-2)
