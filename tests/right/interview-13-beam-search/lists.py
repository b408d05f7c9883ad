"""Hypotheses as tuples in Python lists, candidates from each row's largest, one sorted call."""

import torch


def beam_search(model, ids, n_tokens, beam_size, eos=None, alpha=0.0):
    for name, value, least in (("beam_size", beam_size, 1), ("n_tokens", n_tokens, 0), ("alpha", alpha, 0)):
        if value < least:
            raise ValueError(f"{name}={value} is below {least}")
    prompt = ids.tolist()

    def search(width):
        live, done = [([], 0.0)], []
        for n in range(n_tokens):
            if not live:
                break
            batch = torch.tensor([prompt + c for c, _ in live], device=ids.device)
            with torch.no_grad():
                logs = torch.log_softmax(model(batch)[:, -1, :].double(), -1).tolist()
            candidates = []
            for i, ((c, total), row) in enumerate(zip(live, logs)):
                for token, log in enumerate(row):
                    candidates.append((-(total + log), i, token))
            candidates.sort()
            live, before = [], live
            for minus, i, token in candidates[:width]:
                c = before[i][0] + [token]
                if n + 1 == n_tokens or (eos is not None and token == eos):
                    done.append((-minus / (n + 1) ** alpha, c))
                else:
                    live.append((c, -minus))
        return done

    best, score = [], 0.0
    if n_tokens:
        done = search(beam_size) + search(1)
        score = max(s for s, _ in done)
        best = next(c for s, c in done if s == score)
    return torch.tensor(prompt + best, dtype=torch.int64, device=ids.device), score
