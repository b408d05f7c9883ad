"""Closures in the manner of micrograd, which read this call's gradients from a dict; a depth-first walk with a stack."""

import math


class Value:
    def __init__(self, data, children=(), op=""):
        self.data = data * 1.0
        self.grad = 0.0
        self._prev = tuple(children)
        self._op = op
        self._backward = lambda g: ()

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), "+")
        out._backward = lambda g: (g, g)
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")
        out._backward = lambda g: (other.data * g, self.data * g)
        return out

    def __pow__(self, other):
        if isinstance(other, Value):
            raise TypeError("only int/float powers")
        out = Value(self.data**other, (self,), f"**{other}")

        def _backward(g):
            if other == 0:
                return (0.0,)
            return (other * self.data ** (other - 1) * g,)

        out._backward = _backward
        return out

    def relu(self):
        out = Value(0 if self.data < 0 else self.data, (self,), "relu")
        out._backward = lambda g: ((out.data > 0) * g,)
        return out

    def exp(self):
        out = Value(math.exp(self.data), (self,), "exp")
        out._backward = lambda g: (out.data * g,)
        return out

    def tanh(self):
        out = Value(math.tanh(self.data), (self,), "tanh")
        out._backward = lambda g: ((1 - out.data * out.data) * g,)
        return out

    def backward(self):
        topo, visited, stack = [], set(), [(self, False)]
        while stack:
            v, done = stack.pop()
            if done:
                topo.append(v)
            elif v not in visited:
                visited.add(v)
                stack.append((v, True))
                stack.extend((child, False) for child in v._prev)
        grads = {v: 0.0 for v in topo}
        grads[self] = 1.0
        for v in reversed(topo):
            for child, g in zip(v._prev, v._backward(grads[v])):
                grads[child] += g
        for v, g in grads.items():
            v.grad += g

    def __neg__(self):
        return self * -1

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return other * self**-1

    def __repr__(self):
        return f"Value(data={self.data}, grad={self.grad})"


def run(program, **numbers):
    names = {name: Value(number) for name, number in numbers.items()}
    exec(program, names)
    del names["__builtins__"]
    return names
