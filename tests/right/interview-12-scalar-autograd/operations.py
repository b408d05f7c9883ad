"""Operations are objects with forward and backward, as in PyTorch; the gradients of earlier calls are put aside."""

import math
from abc import ABC, abstractmethod


class Operation(ABC):
    def __init__(self, *operands):
        self.operands = operands

    @abstractmethod
    def forward(self, *numbers): ...

    @abstractmethod
    def backward(self, grad, result, *numbers): ...

    def __call__(self):
        return Value(self.forward(*(v.data for v in self.operands)), self)


class Add(Operation):
    def forward(self, a, b):
        return a + b

    def backward(self, grad, result, a, b):
        return grad, grad


class Mul(Operation):
    def forward(self, a, b):
        return a * b

    def backward(self, grad, result, a, b):
        return grad * b, grad * a


class Div(Operation):
    def forward(self, a, b):
        return a / b

    def backward(self, grad, result, a, b):
        return grad / b, -grad * a / (b * b)


class Pow(Operation):
    def __init__(self, operand, n):
        super().__init__(operand)
        self.n = n

    def forward(self, a):
        return math.pow(a, self.n)

    def backward(self, grad, result, a):
        return (grad * self.n * math.pow(a, self.n - 1) if self.n else 0.0,)


class Exp(Operation):
    def forward(self, a):
        return math.exp(a)

    def backward(self, grad, result, a):
        return (grad * result,)


class Tanh(Operation):
    def forward(self, a):
        return math.tanh(a)

    def backward(self, grad, result, a):
        return (grad * (1 - result) * (1 + result),)


class Relu(Operation):
    def forward(self, a):
        return a if a > 0 else 0.0

    def backward(self, grad, result, a):
        return (grad if a > 0 else 0.0,)


def wrap(x):
    return x if isinstance(x, Value) else Value(x)


class Value:
    def __init__(self, data, source=None):
        self.data, self.grad, self.source = float(data), 0.0, source

    def __add__(self, other):
        return Add(self, wrap(other))()

    def __radd__(self, other):
        return Add(wrap(other), self)()

    def __mul__(self, other):
        return Mul(self, wrap(other))()

    def __rmul__(self, other):
        return Mul(wrap(other), self)()

    def __sub__(self, other):
        return Add(self, -wrap(other))()

    def __rsub__(self, other):
        return Add(wrap(other), -self)()

    def __truediv__(self, other):
        return Div(self, wrap(other))()

    def __rtruediv__(self, other):
        return Div(wrap(other), self)()

    def __neg__(self):
        return Mul(Value(-1.0), self)()

    def __pow__(self, n):
        if isinstance(n, Value):
            raise TypeError(f"exponent {n.data} is a Value")
        return Pow(self, n)()

    def exp(self):
        return Exp(self)()

    def tanh(self):
        return Tanh(self)()

    def relu(self):
        return Relu(self)()

    def backward(self):
        order, entered, stack = [], {id(self)}, [(self, iter(self._operands()))]
        while stack:
            node, operands = stack[-1]
            for operand in operands:
                if id(operand) not in entered:
                    entered.add(id(operand))
                    stack.append((operand, iter(operand._operands())))
                    break
            else:
                order.append(node)
                stack.pop()
        earlier = [node.grad for node in order]
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        for node in reversed(order):
            if node.source:
                operands = node._operands()
                numbers = [v.data for v in operands]
                for v, g in zip(operands, node.source.backward(node.grad, node.data, *numbers)):
                    v.grad += g
        for node, before in zip(order, earlier):
            node.grad += before

    def _operands(self):
        return self.source.operands if self.source else ()


def run(program, **numbers):
    names = {name: Value(number) for name, number in numbers.items()}
    exec(program, names)
    del names["__builtins__"]
    return names
