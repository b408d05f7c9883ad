"""cross_entropy with ignored targets, softplus, and metrics as floats."""

import torch
from torch.nn import functional as F


def answer_log_probs(logits, ids, answer_mask):
    b, t = logits.shape[:2]
    if tuple(ids.shape) != (b, t) or tuple(answer_mask.shape) != (b, t):
        raise ValueError("ids and answer_mask must be (B, T) of the logits")
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    targets = torch.where(answer_mask, ids, -1)[:, 1:]
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, ignore_index=-1, reduction="none")
    return -losses.sum(dim=-1)


def preference_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta=0.1):
    if not beta > 0:
        raise ValueError(f"beta is {beta}")
    for x in (policy_rejected, reference_chosen, reference_rejected):
        if x.shape != policy_chosen.shape:
            raise ValueError("shapes differ")
    with torch.no_grad():
        chosen = (policy_chosen - reference_chosen) * beta
        rejected = (policy_rejected - reference_rejected) * beta
        metrics = {
            "reward_chosen": chosen.mean().item(),
            "reward_rejected": rejected.mean().item(),
            "margin": (chosen - rejected).mean().item(),
            "accuracy": (chosen > rejected).double().mean().item(),
        }
    with torch.no_grad():
        base = reference_chosen - reference_rejected
    return F.softplus(beta * (base - policy_chosen + policy_rejected)).mean(), metrics


def dpo_loss(policy, reference, chosen, chosen_mask, rejected, rejected_mask, beta=0.1):
    def both(model):
        yield answer_log_probs(model(chosen), chosen, chosen_mask)
        yield answer_log_probs(model(rejected), rejected, rejected_mask)

    with torch.no_grad():
        constants = list(both(reference))
    return preference_loss(*both(policy), *constants, beta=beta)
