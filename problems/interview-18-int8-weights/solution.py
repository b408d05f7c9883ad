"""Weights in int8: a scale for each output channel, and a linear layer that keeps only codes and scales.

Shapes: O output channels, I input channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a weight to whole multiples of its own scale, symmetrically around 0.

    Args:
        weight: (O, I), as nn.Linear has it, of any float type; never changed.

    Returns:
        codes (O, I), int8 from -127 to 127, and scales (O,), float32: the row's largest absolute
        value over 127, or 1 for a row of zeros. Neither has a part in an autograd graph.

    Raises:
        ValueError: weight is no matrix (the message names its shape), or holds NaN or inf.
    """
    # TODO(interview-18): about 8 lines. Refuse, the largest of each row, its scale, round
    raise NotImplementedError("problem interview-18: quantize")


def dequantize(codes: Tensor, scales: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The weight that codes (O, I) and scales (O,) stand for: (O, I) in this dtype."""
    # TODO(interview-18): 1 line
    raise NotImplementedError("problem interview-18: dequantize")


def error_bound(x: Tensor, scales: Tensor) -> Tensor:
    """How far each output of a linear layer may move when its weights are rounded to these scales.

    Args:
        x: (..., I), the input. scales: (O,).

    Returns:
        (..., O): the smallest number that holds for every weight with these scales.
    """
    # TODO(interview-18): 1 line
    raise NotImplementedError("problem interview-18: error_bound")


class Int8Linear(nn.Module):
    """A linear layer that holds its weight in int8: buffers `codes` and `scales`, and `bias`.

    Args:
        weight: (O, I). bias: (O,) or None. Both are copied.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        # TODO(interview-18): about 5 lines. Two buffers, and a parameter or None
        raise NotImplementedError("problem interview-18: Int8Linear.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O), in the dtype of x."""
        # TODO(interview-18): about 3 lines
        raise NotImplementedError("problem interview-18: Int8Linear.forward")
