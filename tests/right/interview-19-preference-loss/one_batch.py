"""Chosen and rejected in one padded batch; logsumexp in place of a log-softmax; the sigmoid written out."""

import torch
import torch.nn.functional as F


def answer_log_probs(logits, ids, answer_mask):
    if logits.shape[:-1] != ids.shape or ids.shape != answer_mask.shape:
        raise ValueError("logits (B, T, V), ids (B, T), answer_mask (B, T)")
    logits, ids, mask = logits[:, :-1], ids[:, 1:], answer_mask[:, 1:]
    if torch.finfo(logits.dtype).bits < 32:
        logits = logits.float()
    ids = torch.where(mask, ids, torch.zeros_like(ids))
    picked = torch.take_along_dim(logits, ids[..., None], -1)[..., 0]
    zero = torch.zeros_like(picked)
    return torch.where(mask, picked, zero).sum(-1) - torch.where(mask, logits.logsumexp(-1), zero).sum(-1)


def preference_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta=0.1):
    if beta <= 0:
        raise ValueError(f"beta={beta}")
    if len({tuple(t.size()) for t in (policy_chosen, policy_rejected, reference_chosen, reference_rejected)}) != 1:
        raise ValueError("sizes")
    rewards_chosen = beta * (policy_chosen - reference_chosen.data)
    rewards_rejected = beta * (policy_rejected - reference_rejected.data)
    x = rewards_chosen - rewards_rejected
    small = torch.exp(torch.where(x < 0, x, -x))  # abs would have no slope at 0
    losses = torch.log1p(small) - torch.where(x < 0, x, 0.0)
    return losses.mean(), {
        "margin": x.mean().item(),
        "accuracy": (x > 0).float().mean().item(),
        "reward_chosen": rewards_chosen.mean().item(),
        "reward_rejected": rewards_rejected.mean().item(),
    }


def dpo_loss(policy, reference, chosen, chosen_mask, rejected, rejected_mask, beta=0.1):
    longest = max(chosen.size(1), rejected.size(1))

    def padded(x):
        return F.pad(x, (0, longest - x.size(1)))

    ids = torch.cat([padded(chosen), padded(rejected)])
    mask = torch.cat([padded(chosen_mask), padded(rejected_mask)])
    mine = answer_log_probs(policy(ids), ids, mask).chunk(2)
    with torch.inference_mode():
        theirs = answer_log_probs(reference(ids), ids, mask).chunk(2)
    return preference_loss(*mine, *(t.clone() for t in theirs), beta=beta)
