"""Scalar autograd: numbers that remember how they were computed, and so know their derivatives."""

from __future__ import annotations

import math
from collections import Counter, defaultdict  # lesson
from typing import Any


class Value:
    """A number, and its place in the graph of what was computed from what.

    Attributes:
        data: the number, a float.
        grad: the derivatives that backward() has added up so far, 0.0 at first.

    Operands may be Values or plain numbers, on either side of + - * and /.
    """

    def __init__(self, data: float) -> None:
        # lesson: about 3 lines. The number, its gradient, and what it was made of
        self.data = float(data)
        self.grad = 0.0
        # Each operand with the derivative of this number by it, which is known as soon as it is made.
        self._parents: tuple[tuple[Value, float], ...] = ()

    def __add__(self, other: Value | float) -> Value:
        # lesson: about 2 lines
        other = _value(other)
        return _result(self.data + other.data, (self, 1.0), (other, 1.0))

    def __mul__(self, other: Value | float) -> Value:
        # lesson: about 2 lines
        other = _value(other)
        return _result(self.data * other.data, (self, other.data), (other, self.data))

    def __pow__(self, exponent: float) -> Value:
        """self to the power of a plain number.

        Raises:
            TypeError: the exponent is a Value.
        """
        # lesson: about 4 lines. x ** 0 has a derivative at 0, too
        if not isinstance(exponent, int | float):
            raise TypeError(f"the exponent must be a plain number, not {type(exponent).__name__}")
        slope = exponent * self.data ** (exponent - 1) if exponent else 0.0
        return _result(self.data**exponent, (self, slope))

    def __neg__(self) -> Value:
        # lesson: 1 line
        return self * -1

    def __sub__(self, other: Value | float) -> Value:
        # lesson: 1 line
        return self + -other

    def __truediv__(self, other: Value | float) -> Value:
        # lesson: 1 line
        return self * other**-1

    def __radd__(self, other: float) -> Value:
        # lesson: 1 line
        return self + other

    def __rmul__(self, other: float) -> Value:
        # lesson: 1 line
        return self * other

    def __rsub__(self, other: float) -> Value:
        # lesson: 1 line
        return -self + other

    def __rtruediv__(self, other: float) -> Value:
        # lesson: 1 line
        return self**-1 * other

    def exp(self) -> Value:
        """e to the power of the number."""
        # lesson: about 2 lines
        out = math.exp(self.data)
        return _result(out, (self, out))

    def tanh(self) -> Value:
        """The hyperbolic tangent: between -1 and 1, and flat far from 0."""
        # lesson: about 2 lines
        out = math.tanh(self.data)
        return _result(out, (self, 1 - out**2))

    def relu(self) -> Value:
        """The number itself above 0, else 0; at 0 the derivative is 0."""
        # lesson: 1 line
        return _result(max(self.data, 0.0), (self, float(self.data > 0)))

    def backward(self) -> None:
        """Add the derivative of self by each Value it was computed from to that Value's grad.

        Its own, 1, is added to its own grad.
        """
        # lesson: about 14 lines. Each Value after everything that was computed from it
        uses, left = Counter(), [self]
        while left:
            for parent, _ in left.pop()._parents:
                if parent not in uses:
                    left.append(parent)
                uses[parent] += 1
        # This call's alone: what earlier calls have left in grad must not flow on.
        flow = defaultdict(float, {self: 1.0})
        ready = [self]
        while ready:
            node = ready.pop()
            node.grad += flow[node]
            for parent, slope in node._parents:
                flow[parent] += flow[node] * slope
                uses[parent] -= 1
                if uses[parent] == 0:
                    ready.append(parent)


def _value(number: Value | float) -> Value:
    return number if isinstance(number, Value) else Value(number)


def _result(data: float, *parents: tuple[Value, float]) -> Value:
    value = Value(data)
    value._parents = parents
    return value


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
