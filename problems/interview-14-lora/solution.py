"""LoRA: a frozen linear layer with a low-rank update that trains, and models that have such layers.

Shapes: I in_features, O out_features, r the rank of the update.
"""

import copy
import math
from collections.abc import Callable, Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A linear layer plus (alpha / r) * B A, of which only A and B train.

    Its parameters are weight (O, I) and bias (O,), those of the given layer and frozen, lora_A
    (r, I) and lora_B (O, r). At first it gives what the given layer gives.

    Args:
        linear: stays as it is; its numbers may be shared.
        r: at least 1.

    Raises:
        ValueError: r is below 1.

    Source: Hu et al. (2021), section 4.1.
    """

    def __init__(self, linear: nn.Linear, r: int, alpha: float) -> None:
        super().__init__()
        # TODO(interview-14): about 9 lines. Check r; freeze weight and bias; A is random, B is zero
        raise NotImplementedError("problem interview-14: LoRALinear.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        # TODO(interview-14): about 2 lines. Never make B A, which is as large as the weight
        raise NotImplementedError("problem interview-14: LoRALinear.forward")

    def to_linear(self, merge: bool = True) -> nn.Linear:
        """A new nn.Linear that gives the same; with merge=False, what the layer gave at first."""
        # TODO(interview-14): about 7 lines. A layer of this shape, type and device; its weight, its bias
        raise NotImplementedError("problem interview-14: LoRALinear.to_linear")


def add_lora(model: nn.Module, names: Collection[str], r: int, alpha: float) -> nn.Module:
    """A copy of the model in which each nn.Linear of such a name is a LoRALinear, and only A and B train.

    Args:
        model: stays as it is.
        names: a layer's own name, the last part of its path: "c_fc" for "h.0.c_fc".

    Raises:
        ValueError: a name that no nn.Linear has, named in the message; or r is below 1.
    """
    # TODO(interview-14): about 9 lines. Look for each name; copy, freeze, replace
    raise NotImplementedError("problem interview-14: add_lora")


def remove_lora(model: nn.Module, merge: bool = True) -> nn.Module:
    """A copy of the model with nn.Linear for each LoRALinear, which gives the same.

    Args:
        model: as add_lora gives it; stays as it is.
        merge: False leaves the updates out, and gives what the model was before add_lora.
    """
    # TODO(interview-14): 1 line
    raise NotImplementedError("problem interview-14: remove_lora")
