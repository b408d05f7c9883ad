"""Fixed tensors with room for everything; places that are free have a sum of -inf; ranks by lexsort in NumPy."""

import numpy as np
import torch


def beam_search(model, ids, n_tokens, beam_size, eos=None, alpha=0.0):
    if n_tokens < 0 or beam_size < 1 or alpha < 0:
        raise ValueError(f"n_tokens {n_tokens}, beam_size {beam_size}, alpha {alpha}")
    T, best_score, best = len(ids), None, ids.clone()
    if not n_tokens:
        return best, 0.0
    for width in {beam_size: 0, 1: 0}:
        texts = torch.zeros(width, T + n_tokens, dtype=torch.long, device=ids.device)
        texts[:, :T] = ids
        sums = np.full(width, -np.inf)
        sums[0] = 0.0
        alive = 1
        for n in range(1, n_tokens + 1):
            with torch.no_grad():
                logits = model(texts[:alive, : T + n - 1])[:, -1]
            logs = logits.detach().double().log_softmax(-1).cpu().numpy()
            V = logs.shape[1]
            table = (sums[:alive, None] + logs).ravel()
            order = np.lexsort((np.arange(table.size), -table))[:width]
            old, kept = texts.clone(), 0
            for place in order:
                text = old[place // V].clone()
                token = int(place % V)
                text[T + n - 1] = token
                if token == eos or n == n_tokens:
                    score = float(table[place]) / n**alpha
                    if best_score is None or score > best_score:
                        best_score, best = score, text[: T + n].clone()
                else:
                    texts[kept] = text
                    sums[kept] = table[place]
                    kept += 1
            alive = kept
            if alive == 0:
                break
    return best, best_score
