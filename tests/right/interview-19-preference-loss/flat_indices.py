"""The answers' tokens as a flat list, added up by their text; the loss by binary cross-entropy."""

import torch
import torch.nn.functional as F


def answer_log_probs(logits, ids, answer_mask):
    if [*logits.shape[:2]] != [*ids.shape] or [*ids.shape] != [*answer_mask.shape]:
        raise ValueError(f"{logits.shape}, {ids.shape}, {answer_mask.shape}")
    here = answer_mask.clone()
    here[:, 0] = False
    rows, tokens = here.nonzero(as_tuple=True)
    wide = logits[rows, tokens - 1]
    wide = wide if wide.dtype == torch.float64 else wide.float()
    log_probs = wide.log_softmax(-1)[torch.arange(len(rows), device=rows.device), ids[rows, tokens]]
    return wide.new_zeros(ids.size(0)).index_add(0, rows, log_probs)


def preference_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta=0.1):
    if beta <= 0:
        raise ValueError(f"beta must be positive: {beta}")
    if not policy_chosen.shape == policy_rejected.shape == reference_chosen.shape == reference_rejected.shape:
        raise ValueError("four equal shapes, please")
    policy = torch.stack([policy_chosen, policy_rejected])
    frozen = torch.stack([reference_chosen, reference_rejected]).detach()
    rewards = beta * (policy - frozen)
    margin = rewards[0] - rewards[1]
    loss = F.binary_cross_entropy_with_logits(margin, torch.ones_like(margin))
    chosen, rejected = rewards.detach().mean(1).unbind()
    accuracy = margin.detach().gt(0).double().mean()
    return loss, {"reward_chosen": chosen, "reward_rejected": rejected, "margin": chosen - rejected, "accuracy": accuracy}


def dpo_loss(policy, reference, chosen, chosen_mask, rejected, rejected_mask, beta=0.1):
    args = [(chosen, chosen_mask), (rejected, rejected_mask)]
    mine = [answer_log_probs(policy(ids), ids, mask) for ids, mask in args]
    theirs = [answer_log_probs(reference(ids), ids, mask).detach() for ids, mask in args]
    return preference_loss(mine[0], mine[1], theirs[0], theirs[1], beta=beta)
