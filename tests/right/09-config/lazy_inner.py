"""n_inner stays None inside; reading it gives the resolved number. Validation by small rule functions."""
import dataclasses
import numbers
from typing import Optional


def _size(field, value):
    if type(value) is bool or not isinstance(value, int):
        raise TypeError("GPT2Config." + field + " = " + repr(value) + " (" + type(value).__name__ + "): an int of 1 or more is needed")
    if value <= 0:
        raise ValueError("GPT2Config." + field + " = " + repr(value) + ": an int of 1 or more is needed")


def _probability(field, value):
    if not isinstance(value, numbers.Real):
        raise TypeError(f"GPT2Config.{field} = {value!r}: a number p with 0 <= p < 1 is needed")
    if not (value >= 0 and value < 1):
        raise ValueError(f"GPT2Config.{field} = {value!r}: a number p with 0 <= p < 1 is needed")


def _positive(field, value):
    if not isinstance(value, numbers.Real):
        raise TypeError(f"GPT2Config.{field} = {value!r}: a number > 0 is needed")
    if not value > 0:
        raise ValueError(f"GPT2Config.{field} = {value!r}: a number > 0 is needed")


def _f(default, rule):
    return dataclasses.field(default=default, metadata={"rule": rule})


@dataclasses.dataclass(frozen=True)
class GPT2Config:
    vocab_size: int = _f(50257, _size)
    n_positions: int = _f(1024, _size)
    n_embd: int = _f(768, _size)
    n_layer: int = _f(12, _size)
    n_head: int = _f(12, _size)
    n_inner: Optional[int] = _f(None, _size)
    embd_pdrop: float = _f(0.1, _probability)
    attn_pdrop: float = _f(0.1, _probability)
    resid_pdrop: float = _f(0.1, _probability)
    layer_norm_epsilon: float = _f(1e-5, _positive)
    initializer_range: float = _f(0.02, _positive)

    def __getattribute__(self, name):
        value = object.__getattribute__(self, name)
        if name == "n_inner" and value is None:
            return object.__getattribute__(self, "n_embd") * 4
        return value

    def __post_init__(self):
        raw = object.__getattribute__(self, "__dict__")
        for f in dataclasses.fields(self):
            if f.name == "n_inner" and raw["n_inner"] is None:
                continue
            f.metadata["rule"](f.name, raw[f.name])
        if divmod(self.n_embd, self.n_head)[1]:
            raise ValueError(f"GPT2Config.n_embd = {self.n_embd} cannot be cut into n_head = {self.n_head} equal heads")

    head_dim = property(lambda self: self.n_embd // self.n_head)

    @staticmethod
    def gpt2_small():
        return GPT2Config()

    @staticmethod
    def gpt2_medium():
        return GPT2Config(n_embd=1024, n_layer=24, n_head=16)

    @staticmethod
    def gpt2_large():
        return GPT2Config(n_embd=1280, n_layer=36, n_head=20)

    @staticmethod
    def gpt2_xl():
        return GPT2Config(n_embd=1600, n_layer=48, n_head=25)

    def _shapes(self):
        c, i = self.n_embd, self.n_inner
        yield self.vocab_size, c
        yield self.n_positions, c
        for _ in range(self.n_layer):
            for rows, columns in ((c, 3 * c), (c, c), (c, i), (i, c)):
                yield rows + 1, columns          # one more row: the bias
            yield from ((2, c), (2, c))
        yield 2, c

    def num_parameters(self):
        return sum(rows * columns for rows, columns in self._shapes())
