"""Each Value has a number that grows, so the youngest first is an order; a heap hands them out."""

import heapq
import itertools
from math import exp, tanh

_born = itertools.count()


class Value:
    __slots__ = ("born", "data", "grad", "made_of")

    def __init__(self, data, made_of=None):
        self.born, self.data, self.grad = next(_born), float(data), 0.0
        self.made_of = made_of or {}

    def _new(self, data, *pairs):
        made_of = {}
        for value, slope in pairs:
            made_of[value] = made_of.get(value, 0.0) + slope
        return Value(data, made_of)

    def __add__(self, other):
        if not isinstance(other, Value):
            return self._new(self.data + other, (self, 1.0))
        return self._new(self.data + other.data, (self, 1.0), (other, 1.0))

    __radd__ = __add__

    def __sub__(self, other):
        if not isinstance(other, Value):
            return self._new(self.data - other, (self, 1.0))
        return self._new(self.data - other.data, (self, 1.0), (other, -1.0))

    def __rsub__(self, other):
        return self._new(other - self.data, (self, -1.0))

    def __neg__(self):
        return self._new(-self.data, (self, -1.0))

    def __mul__(self, other):
        if not isinstance(other, Value):
            return self._new(self.data * other, (self, other))
        return self._new(self.data * other.data, (self, other.data), (other, self.data))

    __rmul__ = __mul__

    def __truediv__(self, other):
        if not isinstance(other, Value):
            return self._new(self.data / other, (self, 1 / other))
        quotient = self.data / other.data
        return self._new(quotient, (self, 1 / other.data), (other, -quotient / other.data))

    def __rtruediv__(self, other):
        return self._new(other / self.data, (self, -other / self.data**2))

    def __pow__(self, n):
        if type(n) not in (int, float):
            return NotImplemented
        return self._new(self.data**n, (self, n * self.data ** (n - 1) if n != 0 else 0.0))

    def exp(self):
        return self._new(exp(self.data), (self, exp(self.data)))

    def tanh(self):
        return self._new(tanh(self.data), (self, 1.0 - tanh(self.data) ** 2))

    def relu(self):
        return self._new(self.data, (self, 1.0)) if self.data > 0 else self._new(0.0, (self, 0.0))

    def backward(self):
        flow = {self.born: 1.0}
        heap = [(-self.born, self)]
        while heap:
            _, node = heapq.heappop(heap)
            g = flow.pop(node.born)
            node.grad += g
            for value, slope in node.made_of.items():
                if value.born not in flow:
                    heapq.heappush(heap, (-value.born, value))
                    flow[value.born] = 0.0
                flow[value.born] += g * slope


def run(program, **numbers):
    names = {name: Value(number) for name, number in numbers.items()}
    exec(program, names)
    del names["__builtins__"]
    return names
