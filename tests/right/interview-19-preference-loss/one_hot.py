"""One-hot targets and einsum, with a small class that keeps the four numbers of a pair."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Pair:
    chosen: Tensor
    rejected: Tensor

    def __sub__(self, other):
        return Pair(self.chosen - other.chosen, self.rejected - other.rejected)

    def scaled(self, factor):
        return Pair(factor * self.chosen, factor * self.rejected)

    def constant(self):
        return Pair(self.chosen.detach(), self.rejected.detach())


def answer_log_probs(logits: Tensor, ids: Tensor, answer_mask: Tensor) -> Tensor:
    if ids.shape != logits.shape[:2]:
        raise ValueError(f"ids are {tuple(ids.shape)}, logits {tuple(logits.shape)}")
    if answer_mask.shape != logits.shape[:2]:
        raise ValueError(f"answer_mask is {tuple(answer_mask.shape)}, logits {tuple(logits.shape)}")
    exact = torch.float64 if logits.dtype is torch.float64 else torch.float32
    vocabulary = torch.arange(logits.size(-1), device=logits.device)
    hot = (ids[:, 1:, None] == vocabulary) & answer_mask[:, 1:, None]
    log_probs = torch.log_softmax(logits[:, :-1].to(exact), dim=-1)
    return torch.where(hot, log_probs, 0.0).sum(dim=(1, 2))


def preference_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor,
    beta: float = 0.1,
):
    if beta <= 0:
        raise ValueError(f"{beta} is no beta")
    shapes = {policy_chosen.shape, policy_rejected.shape, reference_chosen.shape, reference_rejected.shape}
    if len(shapes) > 1:
        raise ValueError(f"{len(shapes)} different shapes")
    policy = Pair(policy_chosen, policy_rejected)
    rewards = (policy - Pair(reference_chosen, reference_rejected).constant()).scaled(beta)
    margin = rewards.chosen - rewards.rejected
    seen = rewards.constant()
    metrics = {
        "reward_chosen": seen.chosen.mean(), "reward_rejected": seen.rejected.mean(),
        "margin": (seen.chosen - seen.rejected).mean(),
        "accuracy": torch.count_nonzero(seen.chosen > seen.rejected) / seen.chosen.numel(),
    }
    return torch.nn.functional.softplus(-margin).sum() / margin.numel(), metrics


def dpo_loss(policy, reference, chosen, chosen_mask, rejected, rejected_mask, beta=0.1):
    def pair(model):
        return Pair(
            answer_log_probs(model(chosen), chosen, chosen_mask),
            answer_log_probs(model(rejected), rejected, rejected_mask),
        )

    mine, theirs = pair(policy), pair(reference)
    return preference_loss(mine.chosen, mine.rejected, theirs.chosen, theirs.rejected, beta=beta)
