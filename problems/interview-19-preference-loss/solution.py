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
    # TODO(interview-19): about 7 lines. Check, shift, log-softmax, pick, hide, sum
    raise NotImplementedError("problem interview-19: answer_log_probs")


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
    # TODO(interview-19): about 14 lines. Check, rewards, margin, loss, metrics
    raise NotImplementedError("problem interview-19: preference_loss")


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
    # TODO(interview-19): about 7 lines. Four calls of answer_log_probs, two of them without a graph
    raise NotImplementedError("problem interview-19: dpo_loss")
