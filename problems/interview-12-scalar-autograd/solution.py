"""Scalar autograd: numbers that remember how they were computed, and so know their derivatives."""

from __future__ import annotations

import math
from typing import Any


class Value:
    """A number, and its place in the graph of what was computed from what.

    Attributes:
        data: the number, a float.
        grad: the derivatives that backward() has added up so far, 0.0 at first.

    Operands may be Values or plain numbers, on either side of + - * and /.
    """

    def __init__(self, data: float) -> None:
        # TODO(interview-12): about 3 lines. The number, its gradient, and what it was made of
        raise NotImplementedError("problem interview-12: Value.__init__")

    def __add__(self, other: Value | float) -> Value:
        # TODO(interview-12): about 2 lines
        raise NotImplementedError("problem interview-12: Value.__add__")

    def __mul__(self, other: Value | float) -> Value:
        # TODO(interview-12): about 2 lines
        raise NotImplementedError("problem interview-12: Value.__mul__")

    def __pow__(self, exponent: float) -> Value:
        """self to the power of a plain number.

        Raises:
            TypeError: the exponent is a Value.
        """
        # TODO(interview-12): about 4 lines. x ** 0 has a derivative at 0, too
        raise NotImplementedError("problem interview-12: Value.__pow__")

    def __neg__(self) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__neg__")

    def __sub__(self, other: Value | float) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__sub__")

    def __truediv__(self, other: Value | float) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__truediv__")

    def __radd__(self, other: float) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__radd__")

    def __rmul__(self, other: float) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__rmul__")

    def __rsub__(self, other: float) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__rsub__")

    def __rtruediv__(self, other: float) -> Value:
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.__rtruediv__")

    def exp(self) -> Value:
        """e to the power of the number."""
        # TODO(interview-12): about 2 lines
        raise NotImplementedError("problem interview-12: Value.exp")

    def tanh(self) -> Value:
        """The hyperbolic tangent: between -1 and 1, and flat far from 0."""
        # TODO(interview-12): about 2 lines
        raise NotImplementedError("problem interview-12: Value.tanh")

    def relu(self) -> Value:
        """The number itself above 0, else 0; at 0 the derivative is 0."""
        # TODO(interview-12): 1 line
        raise NotImplementedError("problem interview-12: Value.relu")

    def backward(self) -> None:
        """Add the derivative of self by each Value it was computed from to that Value's grad.

        Its own, 1, is added to its own grad.
        """
        # TODO(interview-12): about 14 lines. Each Value after everything that was computed from it
        raise NotImplementedError("problem interview-12: Value.backward")


def run(program: str, **numbers: float) -> dict[str, Any]:
    """Execute a program in which every keyword is the Value of its number.

    The interviewer's own: leave it as it is.

    Returns:
        All names that the program has at its end.
    """
    names: dict[str, Any] = {name: Value(number) for name, number in numbers.items()}
    exec(program, names)
    del names["__builtins__"]
    return names
