"""Models whose answers are known, for checks of generation, and what a right loop writes with them.

Shapes: B batch, T tokens, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from common.testing.context import current
from common.testing.elsewhere import DevicesDiffer
from common.testing.modules import draw_ids

V = 13
INF = float("inf")


def rows(*values: Sequence[float]) -> Tensor:
    """A float tensor on the checks' device."""
    return torch.tensor(values, device=current().device)


def logs(*values: Sequence[float]) -> Tensor:
    """Logits whose softmax is the values given."""
    return rows(*values).log()


def seeded(number: int) -> torch.Generator:
    return torch.Generator(device=current().device).manual_seed(number)


def prompt(B: int = 3, T: int = 5) -> Tensor:
    return draw_ids("prompt", B=B, T=T, vocab_size=V)


def after(seen: Sequence[int]) -> int:
    """The token that Sum holds for likeliest after these tokens: their order and number count."""
    return (1 + sum(place * token for place, token in enumerate(seen, 1))) % V


class Sum(nn.Module):
    """A language model that says `after` at each position, and notes how it was called."""

    def __init__(self, sharp: float = 50.0) -> None:
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(sharp))
        self.shapes: list[tuple[int, ...]] = []
        self.modes: list[bool] = []
        self.graphs: list[bool] = []
        self.to(current().device)

    def forward(self, ids: Tensor) -> Tensor:
        self.shapes.append(tuple(ids.shape))
        self.modes.append(self.training)
        places = torch.arange(1, ids.size(1) + 1, device=ids.device)
        logits = self.sharp * F.one_hot((1 + (ids * places).cumsum(1)) % V, V)
        self.graphs.append(logits.requires_grad)
        return logits

    def passes(self, B: int) -> float:
        """How often all rows of a batch of B went through."""
        return sum(shape[0] for shape in self.shapes) / B


class Next(Sum):
    """A language model that counts: after token i comes token i + 1, modulo V."""

    def forward(self, ids: Tensor) -> Tensor:
        self.shapes.append(tuple(ids.shape))
        return self.sharp * F.one_hot((ids + 1) % V, V)


class Same(nn.Module):
    """A language model with the same distribution everywhere."""

    def __init__(self, probs: Sequence[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(logs(probs)[0])

    def forward(self, ids: Tensor) -> Tensor:
        return self.logits.expand(*ids.shape, -1)


class Known(nn.Module):
    """A language model that answers by a function of the ids, and notes how it was called.

    Args:
        settings: the solution's, where what is checked asks the model for them.
    """

    def __init__(self, answer: Callable[[Tensor], Tensor], settings: Any = None) -> None:
        super().__init__()
        self.answer, self.settings = answer, settings
        self.wte, self.drop = nn.Embedding(V, 8), nn.Dropout()
        if settings is not None:
            self.wpe = nn.Embedding(int(settings.context), 8)
        self.modes: list[bool] = []
        self.graphs: list[bool] = []

    def forward(self, ids: Tensor) -> Tensor:
        logits = self.answer(ids)
        self.modes.append(any(part.training for part in self.modules()))
        self.graphs.append(logits.requires_grad)
        return logits


class Failing(nn.Module):
    """A model that works for three tokens and fails for more."""

    def __init__(self) -> None:
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(1.0))
        self.to(current().device)

    def forward(self, ids: Tensor) -> Tensor:
        if ids.size(1) > 3:
            raise KeyError("out of memory")
        return self.sharp * F.one_hot(ids, V)


def continued(
    ids: Tensor, n_tokens: int, max_context: int, model: Callable[[Sequence[int]], int] = after
) -> Tensor:
    """What a right loop writes, in plain Python: the new tokens of each row, (B, n_tokens)."""
    texts = [list(row) for row in ids.tolist()]
    for text in texts:
        for _ in range(n_tokens):
            text.append(model(text[-max_context:]))
    new = [text[ids.size(1) :] for text in texts]
    return torch.tensor(new, device=ids.device).view(len(new), n_tokens)


class Passes(TorchFunctionMode):
    """Counts the tokens that meet a weight, known by its shape, and notes whether a graph is built."""

    def __init__(self, model: Any, width: int, n_inner: int) -> None:
        super().__init__()
        self.weights = {"c_fc": (n_inner, width), "c_attn": (3 * width, width)}
        self.n_layer, self.graph = len(model.h), False
        self.counted = dict.fromkeys(self.weights, 0)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        shapes = [tuple(a.shape) for a in args if isinstance(a, Tensor)]
        if len(shapes) > 1 and isinstance(result, Tensor) and result.ndim:
            for name, shape in self.weights.items():
                if (shape in shapes or shape[::-1] in shapes) and result.shape[-1] == shape[0]:
                    self.counted[name] += result.numel() // shape[0]
                    self.graph = self.graph or result.requires_grad
        return result

    def per_layer(self) -> float:
        """How many tokens of the whole batch passed each layer, on average; the larger count."""
        return max(self.counted.values()) / self.n_layer


class Owned(TorchFunctionMode):
    """Notes which operation on a model's own parameters was refused; `elsewhere` knows nothing of a copied model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.own, self.trouble = {id(p) for p in model.parameters()}, ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except DevicesDiffer as error:
            if any(id(a) in self.own for a in args):
                self.trouble = str(error)
            raise


def inside(model: nn.Module) -> dict[str, Any]:
    """What a model consists of, by name: its parameters' identities, and each part's class, attributes and hooks."""
    found: dict[str, Any] = {
        name: id(p) for name, p in model.named_parameters(remove_duplicate=False)
    }
    for name, part in model.named_modules():
        place = name or "the model"
        found[f"{place}, its class or identity"] = id(part), type(part)
        found[f"{place}, its hooks"] = len(part._forward_hooks) + len(part._forward_pre_hooks)
        found |= {f"{place}.{attribute}": None for attribute in vars(part)}
    return found


def changed(model: nn.Module, before: Mapping[str, Any]) -> list[str]:
    """The names under which a model differs from what it consisted of before."""
    after = inside(model)
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name, 0) != after.get(name, 0)
    )
