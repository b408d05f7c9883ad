"""Loops over texts and their answers' tokens, pair by pair."""

import torch


def answer_log_probs(logits, ids, answer_mask):
    if not (logits.shape[0] == ids.shape[0] == answer_mask.shape[0]) or not (
        logits.shape[1] == ids.shape[1] == answer_mask.shape[1]
    ):
        raise ValueError("shapes")
    if logits.dtype != torch.float64:
        logits = logits.to(torch.float32)
    sums = []
    for row, tokens, answer in zip(logits, ids, answer_mask, strict=True):
        total = logits.new_zeros(())
        for t in range(1, len(tokens)):
            if answer[t]:
                total = total + row[t - 1][tokens[t]] - torch.logsumexp(row[t - 1], 0)
        sums.append(total)
    return torch.stack(sums)


def preference_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta=0.1):
    if beta <= 0:
        raise ValueError("beta = %s" % beta)
    shapes = [t.shape for t in (policy_chosen, policy_rejected, reference_chosen, reference_rejected)]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("%s %s %s %s" % tuple(shapes))
    losses, hits, ups, downs = [], 0, 0.0, 0.0
    pairs = zip(policy_chosen, policy_rejected, reference_chosen.detach(), reference_rejected.detach(), strict=True)
    for pc, pr, rc, rr in pairs:
        up, down = beta * (pc - rc), beta * (pr - rr)
        losses.append(torch.logaddexp(torch.zeros_like(up), down - up))
        hits += bool(up > down)
        ups += float(up.detach())
        downs += float(down.detach())
    n = len(losses)
    metrics = dict(reward_chosen=ups / n, reward_rejected=downs / n, margin=(ups - downs) / n, accuracy=hits / n)
    return sum(losses) / n, metrics


def dpo_loss(policy, reference, chosen, chosen_mask, rejected, rejected_mask, beta=0.1):
    four = []
    for model in (policy, reference):
        for ids, mask in ((chosen, chosen_mask), (rejected, rejected_mask)):
            four.append(answer_log_probs(model(ids), ids, mask))
    return preference_loss(*four, beta)
