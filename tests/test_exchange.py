"""The exchange: checks on a stand-in say what they say in one process, and nothing malformed gets through."""

from __future__ import annotations

import inspect
import json
import math
import random
import socket
import struct
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common import internals
from common.course.catalogue import Problem, find, problems
from common.course.mistakes import Mistake, known
from common.errors import CourseError
from common.grading.engine import Engine
from common.grading.exchange.judge import Judge, StandIn
from common.grading.exchange.values import DTYPES, Reader, Unknown, Writer
from common.grading.exchange.wire import Over, Wire
from common.grading.libraries import wanted
from common.grading.marks import read_scheme
from common.grading.rooms import Agents, Limits, Room, why_no_sandbox
from common.judging.loading import LoadFailure, read_source

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

RIGHT = sorted((Path(__file__).parent / "right").glob("*/*.py"))
# Each of them was refused once, or does something else that the exchange has to know about.
ODD = {
    "01-embeddings/mixin_first", "03-scaled-attention/autograd_function_and_sdpa", "09-config/slots_metaprogram",
    "12-training/fork_rng", "15-generation/iterator_and_bisection", "16-pretraining/hooks_and_subclass",
    "16-pretraining/step_with_closure", "17-pretrained/model_on_meta", "18-kv-cache/patched_and_restored",
    "interview-04-adam/step_of_its_own",
}  # fmt: skip
SANDBOX = not why_no_sandbox() if sys.platform == "linux" else False


def can_run() -> str:
    """Why no student's process can be started here; empty when it can."""
    if SANDBOX:
        return ""
    try:
        Agents(sandbox=False).close()
    except CourseError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if why := can_run():
        pytest.skip(why)
    made = Engine(problems(), "a secret of tests", Limits(60), workers=1, sandbox=SANDBOX)
    yield made
    made.close()


def points(engine: Engine, problem: Problem, text: str) -> tuple[float, Any]:
    """What a text earns of all points, and why not more."""
    result = engine.grade({problem.name: text})[problem.name]
    scheme = read_scheme()
    earned = scheme.earned(
        problem, engine.checks[problem.name], result["passed"], engine.free[problem.name]
    )
    share = sum(e.points for e in earned) / scheme.points(problem)
    return float(share), (result["failed"][:2], result["flags"], result["ends"], result["failure"])


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_the_reference_earns_all_and_the_skeleton_nothing(engine: Engine, problem: Problem):
    share, why = points(engine, problem, problem.reference_text)
    assert share == 1, why
    assert points(engine, problem, problem.skeleton)[0] == 0


def named(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def some_right() -> list[Path]:
    """The odd right answers, and one of each problem's others; `make grading-full` tries them all."""
    odd = [f for f in RIGHT if named(f) in ODD]
    assert len(odd) == len(ODD)
    others = [[f for f in RIGHT if f not in odd and f.parent.name == p.name] for p in problems()]
    return odd + [random.Random(files[0].parent.name).choice(files) for files in others if files]


@pytest.mark.parametrize("file", some_right(), ids=named)
def test_a_right_answer_earns_all(engine: Engine, file: Path):
    share, why = points(engine, find(file.parent.name), read_source(file))
    assert share == 1, why


# What shows only where two answers are one object, or an input has another shape afterwards.
MISTAKES = {
    "13": {"a cache gives one dict out twice", "the cache's own list goes out"},
    "14": {"one tensor for all callers", "the batch axis is taken off in place"},
}


def some(problem: Problem) -> list[Mistake]:
    """A few of a problem's known mistakes; `make grading-full` tries them all."""
    chosen = MISTAKES.get(problem.key) or {
        random.Random(problem.name).choice([m.name for m in known(problem)])
    }
    found = [m for m in known(problem) if m.name in chosen]
    assert len(found) == len(chosen)
    return found


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_some_known_mistakes_lose_points(engine: Engine, problem: Problem):
    for mistake in some(problem):
        share, _ = points(engine, problem, mistake.apply(problem.reference_text))
        assert share < 1, mistake.name


def test_inputs_are_secret_and_follow_from_the_secret_alone():
    from common.grading.seeded import lucky
    from common.judging.collecting import checks_of
    from common.judging.loading import load

    problem = find(5)
    reference = load(problem.reference)
    check = next(c for c in checks_of(problem) if c.name == "test_eval_mode_is_repeatable")
    seeds = [next(lucky(check, problem, secret, reference)).seed for secret in ("a", "a", "b")]
    assert seeds[0] == seeds[1] != seeds[2]
    others = {next(lucky(c, problem, "a", reference)).seed for c in checks_of(problem)[:8]}
    assert len(others) == 8


# --- a stand-in, up close -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def agents() -> Iterator[Agents]:
    if why := can_run():
        pytest.skip(why)
    made = Agents(sandbox=SANDBOX)
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
        for function, same in ((module.cached, True), (module.new, False)):
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


# --- what is malformed ----------------------------------------------------------------------------


@contextmanager
def judge_who_hears(*messages: bytes) -> Generator[Judge]:
    """A judge to whom these bytes are sent, whatever it asks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in messages:
            theirs.sendall(message)
        theirs.shutdown(socket.SHUT_WR)
        yield Judge(Wire(ours), find(5))


def message(head: Any, body: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<II", len(text), len(body)) + text + body


ANSWER = {
    "slots": [],
    "modes": [],
    "events": [],
    "changed": [],
    "contents": [],
    "structure": [],
    "printed": "",
    "grad": True,
}
MALFORMED: list[Any] = [
    b"{", [], 3, "ask", {}, {"value": 1}, {"ask": "call"}, {"ask": {}}, {"ask": "call", "args": 1, "grad": True, "slots": [], "modes": []},  # noqa: E501
    *({**ANSWER, key: value} for key in ANSWER if key not in ("printed", "grad") for value in ([[]], [1], 3, [[1, 2]], None)),  # noqa: E501
    *({**ANSWER, "value": value} for value in (
        ["x"], ["x", "float32", [2], None, 0, 0], ["x", "float32", [-1], None, 0, 0], ["x", "complex64", [1], None, 0, 0],  # noqa: E501
        ["x", "float32", [1 << 40], None, 0, 0], ["x", "float32", [0] * 20, None, 0, 0], ["x", "float32", [1.5], None, 0, 0],  # noqa: E501
        ["o"], ["o", 2], ["o", 1], ["o", "1"], ["o", 4, {"kind": "module"}], ["o", 1, {"kind": "object", "class": 3}],
        ["o", 1, {"kind": "class"}], ["o", True, {"kind": "iterator"}], ["p", 1], ["p", 2, True], ["p", "x", False],
        ["nonsense", 1], ["d", 1], ["d", [[], 1]], ["s", ["l"]], ["b", 3], ["b", "\u1234"], ["dtype", "int99"], ["device", "nowhere"],  # noqa: E501
        ["int", "zz"], ["range", 1, 2, 0], {"a": 1}, ["array", ["x", "bfloat16", [0], None, 0, 0]], [["l"]], [[]], [None],  # noqa: E501
    )),
    *({**ANSWER, "value": ["l"], "same": same} for same in ([], "1", True, 1.5, {})),
    *({**ANSWER, "error": error} for error in ({}, 3, {"mine": 7}, {"kind": 1, "name": 2, "args": 3, "unicode": 4, "frames": 5},  # noqa: E501
      {"kind": "ValueError", "name": "x", "args": [{}], "unicode": None, "frames": [], "number": 1})),
]  # fmt: skip


@pytest.mark.parametrize("head", MALFORMED, ids=lambda h: str(h)[:90])
def test_a_malformed_answer_ends_the_exchange(head: Any):
    with judge_who_hears(message(head)) as judge, pytest.raises(Over):
        judge.ask("attribute", "x")


def test_messages_that_are_too_long_are_not_waited_for():
    with (
        judge_who_hears(struct.pack("<II", 1 << 30, 0)) as judge,
        pytest.raises(Over, match="at most"),
    ):
        judge.ask("attribute", "x")
    with judge_who_hears(message(b"[" * 100_000)) as judge, pytest.raises(Over):
        judge.ask("attribute", "x")


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["x", "o", "p", "l", "t", "d", "float32", "class", "module"]),  # noqa: E501
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["kind", "tree", "name", "value", "ask"]), inner, max_size=4),  # noqa: E501
    max_leaves=12,
))  # fmt: skip
def test_whatever_comes_is_a_value_or_the_end(node: Any):
    with judge_who_hears(message({**ANSWER, "value": node})) as judge, suppress(Over):
        judge.ask("attribute", "x")


def test_over_is_nothing_that_a_check_could_swallow():
    assert not issubclass(Over, Exception)


def test_what_no_message_can_hold_is_said():
    writer = Writer(lambda w, value: (_ for _ in ()).throw(Unknown(type(value).__name__)))
    with pytest.raises(Unknown):
        writer.value(object())
    reader = Reader(memoryview(b""), lambda r, node: None, lambda r, t: t)
    assert reader.value(writer.value([1, "x"])) == [1, "x"]


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


def test_a_report_names_the_line_of_the_learners_file(stand_in):
    from common.judging.explaining import explain

    module = stand_in(LAYER)
    with pytest.raises(KeyError) as caught:
        module.fail("key")
    said, _ = explain(caught.value, module)
    assert said[0].startswith("KeyError in solution.py, line ")
    assert said[0].endswith(", in fail:")
    assert 'raise KeyError("k", 3)' in said[1]
