"""Direct preference optimization: log-probabilities of answers, the loss on pairs of them, and its metrics.

Shapes: B batch, T tokens, V vocab_size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def answer_log_probs(logits: Tensor, ids: Tensor, answer_mask: Tensor) -> Tensor:
    """The log-probability of each text's answer, given what comes before it: (B,).

    Args:
        logits: (B, T, V), what a model gives for ids; those at token t are about token t + 1.
        ids: (B, T), prompt, answer and padding; outside the answer any number, -100 too.
        answer_mask: bool (B, T), True for the tokens of the answer.

    Returns:
        Sums of log-probabilities, in float32 or, for logits in float64, in float64.

    Raises:
        ValueError: the shapes do not go together.
    """
    # lesson: about 7 lines. Check, shift, log-softmax, pick, hide, sum
    if not logits.shape[:2] == ids.shape == answer_mask.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)}, ids {tuple(ids.shape)} and answer_mask "
            f"{tuple(answer_mask.shape)} must agree in their first two sizes, texts and tokens"
        )
    outside = ~answer_mask[:, 1:]
    targets = ids[:, 1:].masked_fill(outside, 0)
    exact = torch.promote_types(logits.dtype, torch.float32)
    log_probs = F.log_softmax(logits[:, :-1], dim=-1, dtype=exact)
    picked = log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # (B, T - 1)
    # Filled, not multiplied: 0 * -inf is NaN.
    return picked.masked_fill(outside, 0.0).sum(1)


def preference_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float = 0.1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The DPO loss of B pairs of answers, a scalar, and its metrics.

    Args:
        policy_chosen, policy_rejected, reference_chosen, reference_rejected: (B,), log-probabilities
            of answers. No gradient goes into the reference's.
        beta: how much the policy pays for leaving the reference, above 0.

    Returns:
        The mean loss, and the means of reward_chosen, reward_rejected, margin and accuracy.

    Raises:
        ValueError: beta is not above 0, or the four shapes differ.

    Source: Rafailov et al. (2023), section 4, equation 7.
    """
    # lesson: about 14 lines. Check, rewards, margin, loss, metrics
    if beta <= 0:
        raise ValueError(f"beta must be above 0, but is {beta}")
    given = (policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    if len({x.shape for x in given}) > 1:
        raise ValueError(f"the shapes differ: {', '.join(str(tuple(x.shape)) for x in given)}")
    reward_chosen = beta * (policy_chosen - reference_chosen.detach())
    reward_rejected = beta * (policy_rejected - reference_rejected.detach())
    margin = reward_chosen - reward_rejected
    metrics = {
        "reward_chosen": reward_chosen.detach().mean(),
        "reward_rejected": reward_rejected.detach().mean(),
        "margin": margin.detach().mean(),
        "accuracy": (margin > 0).to(margin.dtype).mean(),
    }
    return -F.logsigmoid(margin).mean(), metrics


def dpo_loss(
    policy: nn.Module,
    reference: nn.Module,
    chosen: Tensor,
    chosen_mask: Tensor,
    rejected: Tensor,
    rejected_mask: Tensor,
    beta: float = 0.1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """preference_loss of two models, each of which gives logits (B, T, V) for ids (B, T).

    Args:
        reference: may be the policy itself; it is a constant, and gets no gradients.
        chosen, rejected: ids (B, T), each with its own T.
        chosen_mask, rejected_mask: bool, True for the tokens of the answer.
    """
    # lesson: about 7 lines. Four calls of answer_log_probs, two of them without a graph
    log_probs = [
        answer_log_probs(policy(chosen), chosen, chosen_mask),
        answer_log_probs(policy(rejected), rejected, rejected_mask),
    ]
    with torch.no_grad():
        log_probs += [
            answer_log_probs(reference(chosen), chosen, chosen_mask),
            answer_log_probs(reference(rejected), rejected, rejected_mask),
        ]
    return preference_loss(*log_probs, beta)
