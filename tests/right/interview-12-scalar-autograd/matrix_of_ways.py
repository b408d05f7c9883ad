"""The graph is listed first, by generation; derivatives are gathered by each Value from its users, instead of handed out."""

import math
from numbers import Real


class Value:
    def __init__(self, data):
        self.data = float(data)
        self.grad = 0.0
        self.operands = []
        self.slopes = []

    @classmethod
    def of(cls, data, operands, slopes):
        self = cls(data)
        self.operands, self.slopes = operands, slopes
        return self

    @staticmethod
    def cast(x):
        return Value(x) if isinstance(x, Real) else x

    def __add__(self, other):
        other = self.cast(other)
        return Value.of(self.data + other.data, [self, other], [1, 1])

    def __sub__(self, other):
        other = self.cast(other)
        return Value.of(self.data - other.data, [self, other], [1, -1])

    def __mul__(self, other):
        other = self.cast(other)
        return Value.of(self.data * other.data, [self, other], [other.data, self.data])

    def __truediv__(self, other):
        other = self.cast(other)
        a, b = self.data, other.data
        return Value.of(a / b, [self, other], [1 / b, -a / b / b])

    def __radd__(self, other):
        return self.cast(other) + self

    def __rsub__(self, other):
        return self.cast(other) - self

    def __rmul__(self, other):
        return self.cast(other) * self

    def __rtruediv__(self, other):
        return self.cast(other) / self

    def __neg__(self):
        return 0 - self

    def __pow__(self, n):
        if not isinstance(n, Real):
            raise TypeError(f"{n!r} is no number")
        try:
            slope = n * self.data ** (n - 1)
        except ZeroDivisionError:
            slope = 0.0
        return Value.of(self.data**n, [self], [slope])

    def exp(self):
        out = math.e**self.data
        return Value.of(out, [self], [out])

    def tanh(self):
        out = math.tanh(self.data)
        return Value.of(out, [self], [1 / math.cosh(self.data) ** 2 if abs(self.data) < 300 else 0])

    def relu(self):
        return Value.of(self.data * (self.data > 0), [self], [int(self.data > 0)])

    def backward(self):
        users = {self: []}
        stack = [self]
        while stack:
            node = stack.pop()
            for operand, slope in zip(node.operands, node.slopes):
                if operand not in users:
                    users[operand] = []
                    stack.append(operand)
                users[operand].append((node, slope))
        total = {self: 1.0}
        stack = list(users)
        while stack:
            node = stack[-1]
            missing = [user for user, _ in users[node] if user not in total]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if node not in total:
                total[node] = sum(total[user] * slope for user, slope in users[node])
        for node, grad in total.items():
            node.grad += grad


def run(program, **numbers):
    names = {name: Value(number) for name, number in numbers.items()}
    exec(program, names)
    del names["__builtins__"]
    return names
