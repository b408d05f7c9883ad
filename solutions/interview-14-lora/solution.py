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
        # lesson: about 9 lines. Check r; freeze weight and bias; A is random, B is zero
        if r < 1:
            raise ValueError(f"r must be at least 1, but is {r}")
        weight, bias = linear.weight.detach(), linear.bias
        # Parameters of its own, on the same numbers: the caller's layer is not frozen along with them.
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.lora_A = nn.Parameter(weight.new_empty(r, weight.size(1)))
        self.lora_B = nn.Parameter(weight.new_zeros(weight.size(0), r))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.scale = alpha / r

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        # lesson: about 2 lines. Never make B A, which is as large as the weight
        update = F.linear(F.linear(x, self.lora_A), self.lora_B)
        return F.linear(x, self.weight, self.bias) + self.scale * update

    @torch.no_grad()  # lesson
    def to_linear(self, merge: bool = True) -> nn.Linear:
        """A new nn.Linear that gives the same; with merge=False, what the layer gave at first."""
        # lesson: about 7 lines. A layer of this shape, type and device; its weight, its bias
        n_out, n_in = self.weight.shape
        linear = nn.Linear(n_in, n_out, self.bias is not None).to(self.weight)
        linear.weight.copy_(self.weight)
        if merge:
            linear.weight.add_(self.scale * self.lora_B @ self.lora_A)
        if self.bias is not None:
            linear.bias.copy_(self.bias)
        return linear


def _replaced(
    model: nn.Module, kind: type[nn.Module], make: Callable[[str, nn.Module], nn.Module]
) -> nn.Module:
    """A copy of the model, with make(name, part) in the place of each part of that kind."""
    model = copy.deepcopy(model)
    for parent in [*model.modules()]:
        for name, part in [*parent.named_children()]:
            if isinstance(part, kind):
                setattr(parent, name, make(name, part))
    return model


def add_lora(model: nn.Module, names: Collection[str], r: int, alpha: float) -> nn.Module:
    """A copy of the model in which each nn.Linear of such a name is a LoRALinear, and only A and B train.

    Args:
        model: stays as it is.
        names: a layer's own name, the last part of its path: "c_fc" for "h.0.c_fc".

    Raises:
        ValueError: a name that no nn.Linear has, named in the message; or r is below 1.
    """
    # lesson: about 9 lines. Look for each name; copy, freeze, replace
    paths = [path for path, part in model.named_modules() if isinstance(part, nn.Linear)]
    known = {path.rpartition(".")[-1] for path in paths}
    if unknown := sorted(set(names) - known):
        raise ValueError(f"no nn.Linear is called {unknown[0]!r}; there are {sorted(known)}")

    def make(name: str, linear: nn.Module) -> nn.Module:
        return LoRALinear(linear, r, alpha) if name in names else linear

    frozen = copy.deepcopy(model).requires_grad_(False)
    return _replaced(frozen, nn.Linear, make)


def remove_lora(model: nn.Module, merge: bool = True) -> nn.Module:
    """A copy of the model with nn.Linear for each LoRALinear, which gives the same.

    Args:
        model: as add_lora gives it; stays as it is.
        merge: False leaves the updates out, and gives what the model was before add_lora.
    """
    # lesson: 1 line
    return _replaced(model, LoRALinear, lambda _, layer: layer.to_linear(merge))
