"""A stand-in, up close: what a check sees of an object that lives in another process."""

from __future__ import annotations

import inspect
import math
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from common import internals
from common.course.catalogue import find
from common.grading.exchange.judge import Judge, StandIn
from common.grading.exchange.values import DTYPES
from common.grading.exchange.wire import Wire
from common.grading.libraries import wanted
from common.grading.rooms import Agents, Limits, Room
from common.judging.loading import LoadFailure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")


@pytest.fixture(scope="module")
def agents(sandbox: bool) -> Iterator[Agents]:
    made = Agents(sandbox=sandbox)
    made.wait()
    yield made
    made.close()


@pytest.fixture
def stand_in(agents: Agents) -> Iterator[Callable[..., StandIn]]:
    """Lets a text be executed as a solution of a problem; the module that stands for it."""
    rooms: list[Room] = []
    connections: list[socket.socket] = []

    def load(text: str, problem: str = "05") -> StandIn:
        rooms.append(Room(agents, wanted(find(problem))))
        connection, _ = rooms[-1].begin(Limits())
        connections.append(connection)
        module = Judge(Wire(connection), find(problem)).load(text, Path("solution.py"))
        module._judge.begin()
        return module

    yield load
    for connection in connections:
        connection.close()
    for room in rooms:
        room.close()


LAYER = """
import torch
from torch import nn

class Scale(nn.Module):
    def __init__(self, size, by=2.0):
        super().__init__()
        self.inner = nn.Linear(size, size)
        self.weight = nn.Parameter(torch.full((size,), by))
        self.register_buffer("offset", torch.ones(size), persistent=False)
        self.drop = nn.Dropout(0.5)
        self.size = size

    def forward(self, x):
        return self.drop(self.inner(x)) * self.weight + self.offset

class Thing:
    def __init__(self): self.items = []
    def __len__(self): return len(self.items)
    def __eq__(self, other): return self.items == other.items
    def add(self, item, *, times=1):
        self.items += [item] * times
        return self.items
    @property
    def first(self): return self.items[0]

class Special(Thing): pass

def twice(f, x): return f(f(x))
def spoil(x, table):
    x += 1
    table["new"] = 1
def fail(kind):
    if kind == "key": raise KeyError("k", 3)
    if kind == "todo": raise NotImplementedError("problem 05: fail")
    class Own(ValueError): pass
    raise Own("own words")
def say(): print("hello")
def draw(n, generator=None): return torch.rand(n, generator=generator)
def same(x): return x
def flatten(x): x.squeeze_(0)
def new(kind): return {"list": [1], "dict": {1: 2}, "tensor": torch.ones(2)}[kind]
KEPT = {}
def odd(): return [torch.zeros(2, dtype=torch.complex64)]
def cached(kind): return KEPT.setdefault(kind, new(kind))
def view(kind): return cached("tensor").unsqueeze(0)[0]
"""


def test_a_module_has_its_parameters_here_and_computes_there(stand_in):
    module = stand_in(LAYER)
    layer = module.Scale(3, by=4.0)
    assert isinstance(layer, torch.nn.Module)
    assert isinstance(layer, module.Scale)
    assert type(layer.inner) is torch.nn.Linear
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == {
        "weight": (3,),
        "inner.weight": (3, 3),
        "inner.bias": (3,),
    }
    assert sorted(layer.state_dict()) == ["inner.bias", "inner.weight", "weight"]
    assert layer.size == 3
    layer.eval()
    with torch.no_grad():
        layer.weight.fill_(5.0)
        layer.offset.fill_(7.0)
    x = torch.randn(2, 3)
    assert torch.allclose(layer(x), layer.inner(x) * 5 + 7)
    assert str(inspect.signature(layer.forward)) == "(x)"
    assert not hasattr(layer, "absent")


def test_gradients_are_those_of_one_process(stand_in):
    layer = stand_in(LAYER).Scale(3).eval()
    x = torch.randn(2, 3, requires_grad=True)
    (layer(x) ** 2).sum().backward()
    found = [t.grad for t in (x, *layer.parameters())]
    y = x.detach().clone().requires_grad_()
    weights = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    ((torch.nn.functional.linear(y, weights[1], weights[2]) * weights[0] + 1) ** 2).sum().backward()
    for mine, tensor in zip(found, [y, *weights], strict=True):
        assert mine is not None
        assert tensor.grad is not None
        assert torch.allclose(mine, tensor.grad, atol=1e-5)
    with torch.no_grad():
        assert not layer(x).requires_grad


def test_a_copy_is_another_module_and_takes_another_type(stand_in):
    import copy

    layer = stand_in(LAYER).Scale(3).eval()
    other = copy.deepcopy(layer).double()
    with torch.no_grad():
        other.weight.zero_()
    x = torch.randn(2, 3)
    assert other(x.double()).dtype == torch.float64
    assert bool((other(x.double()) == 1).all())
    assert not bool((layer(x) == 1).all())


def test_hooks_hear_of_parts_and_modes_reach_them(stand_in):
    layer, heard = stand_in(LAYER).Scale(3), []
    layer.inner.register_forward_pre_hook(lambda m, args: heard.append(("in", args[0].shape)))
    layer.drop.register_forward_hook(lambda m, args, out: heard.append(("out", out.shape)))
    x = torch.ones(4, 3)
    noisy = layer.train()(x)
    assert heard == [("in", (4, 3)), ("out", (4, 3))]
    assert not torch.equal(noisy, layer(x)), "each call has other random numbers"
    assert torch.equal(layer.eval()(x), layer(x))


def test_objects_answer_through_their_class(stand_in):
    module = stand_in(LAYER)
    thing, other = module.Thing(), module.Special()
    assert isinstance(other, module.Thing)
    assert len(thing) == 0
    assert not thing
    assert thing.add("a", times=2) == ["a", "a"]
    assert thing.first == "a"
    assert thing != other
    other.add("a", times=2)
    assert thing == other
    assert thing != ["a", "a"], "plain values are compared here"
    other.items = ["b"]
    assert other.first == "b"
    with pytest.raises(AttributeError):
        thing.absent  # noqa: B018
    with pytest.raises(TypeError):
        thing[0]


def test_functions_of_the_check_are_called_and_differentiated(stand_in):
    module, scale = stand_in(LAYER), torch.tensor(3.0, requires_grad=True)
    x = torch.ones(2, requires_grad=True)
    module.twice(lambda y: y * scale, x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [9.0, 9.0]
    with pytest.raises(ZeroDivisionError) as caught:
        module.twice(lambda y: 1 / 0, x)
    assert caught.traceback[-1].name == "<lambda>", "the check's own exception, not a copy"


def test_what_was_changed_is_a_claim_unless_it_is_believed(stand_in):
    module = stand_in(LAYER)
    judge, x, table = module._judge, torch.zeros(2), {"old": 0}
    module.spoil(x, table)
    assert judge.claimed
    assert x.tolist() == [0, 0]
    assert table == {"old": 0}
    judge.begin(believes=True)
    module.spoil(x, table)
    assert x.tolist() == [1, 1]
    assert table == {"old": 0, "new": 1}
    judge.believed.undo()
    assert x.tolist() == [0, 0], (
        "a check may hold it for good, and other students come after this one"
    )
    assert table == {"old": 0}


def test_another_shape_in_place_is_a_claim_too(stand_in):
    module = stand_in(LAYER)
    judge, x = module._judge, torch.zeros(1, 2)
    module.flatten(x)
    assert judge.claimed
    assert x.shape == (1, 2)
    judge.begin(believes=True)
    module.flatten(x)
    assert x.shape == (2,)
    judge.believed.undo()
    assert x.shape == (1, 2)


def test_the_same_object_twice_is_a_claim_too(stand_in):
    module = stand_in(LAYER)
    judge = module._judge
    for kind in ("list", "dict", "tensor"):
        for function, same in ((module.cached, True), (module.view, True), (module.new, False)):
            judge.begin()
            first = function(kind)
            assert not judge.claimed
            assert function(kind) is not first
            assert judge.claimed == same
            judge.begin(believes=True)
            assert (function(kind) is function(kind)) == same
    with pytest.raises(TypeError):
        module.odd()
    judge.begin()
    thing = module.Thing()
    assert (thing.add(1), thing.add(2)) == ([1], [1, 2])
    assert not judge.claimed, "it holds something else by now"


def test_exceptions_keep_their_kind_their_words_and_the_learners_line(stand_in):
    module = stand_in(LAYER)
    with pytest.raises(KeyError) as caught:
        module.fail("key")
    assert caught.value.args == ("k", 3)
    assert (
        vars(caught.value)["learners_frames"][-1].line == 'if kind == "key": raise KeyError("k", 3)'
    )
    with pytest.raises(NotImplementedError, match="problem 05: fail"):
        module.fail("todo")
    with pytest.raises(ValueError, match="own words"):
        module.fail("own")
    with pytest.raises(AttributeError):
        module.absent  # noqa: B018
    with pytest.raises(LoadFailure, match="line 2"):
        stand_in("x = 1\nx = 1 +\n")


def test_what_is_printed_is_printed_here(stand_in, capsys):
    stand_in(LAYER).say()
    assert capsys.readouterr().out == "hello\n"


def test_random_numbers_come_from_here_and_never_from_there(stand_in):
    module = stand_in(LAYER)
    torch.manual_seed(3)
    first, second = module.draw(4), module.draw(4)
    torch.manual_seed(3)
    assert torch.equal(module.draw(4), first)
    assert not torch.equal(first, second)
    generator = torch.Generator().manual_seed(1)
    drawn = [module.draw(4, generator=generator) for _ in range(2)]
    assert torch.equal(drawn[0], torch.rand(4, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(*drawn)


def test_layout_and_type_of_tensors_survive(stand_in):
    module = stand_in(
        LAYER + "\ndef about(x): return tuple(x.stride()), str(x.dtype), x.is_contiguous()\n"
    )
    x = torch.arange(12.0).view(3, 4).T
    assert module.about(x) == (x.stride(), "torch.float32", False)
    for dtype in DTYPES.values():
        y = torch.tensor([[0, 1], [1, 0]]).to(dtype)
        assert torch.equal(module.same(y), y)
        assert module.same(y).dtype == dtype
    assert module.same(torch.tensor(2.5)).shape == ()
    assert module.same(torch.empty(0, 3)).shape == (0, 3)


def test_plain_values_survive(stand_in):
    module = stand_in(LAYER)
    for value in (None, True, 3, -(2**200), 0.1, math.inf, "é\ud800", b"\x00\xff", [1, (2, {"a": [None]})], {1, 2}, range(1, 9, 2),  # noqa: E501
                  {b"k": 1, 2: "v"}, torch.float64, torch.device("cpu"), slice(1, None)):  # fmt: skip
        assert module.same(value) == value
        assert type(module.same(value)) is type(value)
    assert math.isnan(module.same(math.nan))


def test_a_report_names_the_line_of_the_learners_file(stand_in):
    from common.judging.explaining import explain

    module = stand_in(LAYER)
    with pytest.raises(KeyError) as caught:
        module.fail("key")
    said, _ = explain(caught.value, module)
    assert said[0].startswith("KeyError in solution.py, line ")
    assert said[0].endswith(", in fail:")
    assert 'raise KeyError("k", 3)' in said[1]


# --- parts of torch that are not public -----------------------------------------------------------


def test_modes_and_hooks_that_a_check_sets_are_found():
    from torch.optim.optimizer import register_optimizer_step_post_hook
    from torch.overrides import TorchFunctionMode

    with TorchFunctionMode() as mode:
        assert internals.function_modes() == [mode]
    assert internals.function_modes() == []
    handle = register_optimizer_step_post_hook(print)
    assert internals.optimizer_hooks() == [print]
    handle.remove()
    assert internals.optimizer_hooks() == []
