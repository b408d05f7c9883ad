"""Interview 20, second part: what checkpoint and Checkpointed promise, from cause to consequence.

Shapes: B texts, T tokens, C channels of x, E channels of a block's result, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
    fill,
    observe,
)

B, T, C, E, V = 2, 5, 6, 7, 11
AXES = {"C": C, "E": E, "V": V}
N_BLOCKS = 5


class Noted(nn.Module):
    """A block that notes when it is called, with gradients on or off, and when backward() arrives."""

    def __init__(self, notes=None, name="block", n_out=C):
        super().__init__()
        self.lin, self.name = nn.Linear(C, n_out), name
        self.notes = [] if notes is None else notes
        fill(self)

    def forward(self, x):
        self.notes.append((self.name, "on" if torch.is_grad_enabled() else "off"))
        out = torch.tanh(self.lin(x)) * (1 + self.lin(x) ** 2)
        if out.requires_grad:
            out.register_hook(lambda _: self.notes.append((self.name, "back")))
        return out


def stack(n=N_BLOCKS):
    """Blocks that note into one list, and the list."""
    notes = []
    return [Noted(notes, f"block {i}") for i in range(n)], notes


def mlp(rate=0.0, i=0, n_out=C):
    """Block i of torch's own layers, with dropout inside."""
    parts = nn.LayerNorm(C), nn.Linear(C, 8), nn.GELU(), nn.Dropout(rate), nn.Linear(8, n_out)
    block = fill(nn.Sequential(*parts))
    with torch.no_grad():
        block[1].weight.copy_(draw(f"weight of {i}", 8, C))
    return block


def x_of(needs=True):
    return draw("x", B=B, T=T, C=C).requires_grad_(needs)


def chained(blocks, x):
    for block in blocks:
        x = block(x)
    return x


def leaves_of(modules, x):
    """What learns, by name: x if it does, and the parameters of the modules."""
    found = {"x": x} if x.requires_grad else {}
    for i, module in enumerate(modules):
        found |= {f"`{name}` of block {i}": p for name, p in module.named_parameters() if p.requires_grad}
    return found


def gradients(out, leaves, direct=False):
    """Those of the leaves, None where there is none; direct: by torch.autograd.grad, else by backward()."""
    error = draw("direction", *out.shape).to(out.dtype)
    if direct:
        return dict(zip(leaves, torch.autograd.grad(out, [*leaves.values()], error, allow_unused=True), strict=True))
    out.backward(error)
    return {name: leaf.grad for name, leaf in leaves.items()}


def assert_gradients_as(found, right, how, because):
    """Check gradients by name, those that are missing first."""
    missing = [name for name, g in right.items() if g is not None and bool(g.any()) and found[name] is None]
    assert_equal(missing, [], f"the list of what gets no gradient {how}", because=because)
    for name, gradient in right.items():
        mine = found[name]
        if gradient is not None or mine is not None:  # None and zeros are the same
            zeros = torch.zeros_like(mine if gradient is None else gradient)
            assert_close(
                zeros if mine is None else mine, zeros if gradient is None else gradient,
                f"the gradient of {name} {how}", because=because, atol=1e-4, rtol=1e-4,
            )  # fmt: skip


# --- checkpoint: what comes out ------------------------------------------------------------------


@pytest.mark.parametrize("n_out", [C, E])
def test_checkpoint_gives_what_the_block_gives(solution, n_out):
    block, x = mlp(n_out=n_out), x_of()
    assert_close(
        assert_tensor(solution.checkpoint(block, x), "checkpoint(block, x)"), block(x).detach(), "checkpoint(block, x)",
        because="The result is block(x), in whatever shape the block gives it.",
    )  # fmt: skip


def test_the_forward_pass_calls_the_block_once_without_gradients(solution):
    block = Noted()
    solution.checkpoint(block, x_of())
    assert_equal(
        [how for _, how in block.notes], ["off"], "the list of the block's calls in checkpoint, gradients on or off,",
        because="One call, in which torch.is_grad_enabled() is False, so that no graph is made whose activations would "
        "have to be kept.",
    )  # fmt: skip


def bytes_kept(modules, call):
    """The bytes that autograd keeps, parameters and the random state (uint8) aside, each memory once."""
    known = {p.data_ptr() for module in modules for p in module.parameters()}
    found = {}  # the tensors are held, so that no other one gets their place

    def pack(tensor):
        if tensor.data_ptr() not in known and tensor.dtype != torch.uint8:
            found[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    observe("bytes that are kept", kept := sum(tensor.nbytes for tensor in found.values()))
    return kept


def test_no_more_than_x_is_kept(solution):
    block, x = Noted(n_out=E), x_of()
    kept = bytes_kept([block], lambda: solution.checkpoint(block, x))
    assert_true(
        kept <= x.nbytes, f"checkpoint(block, x) keeps {kept} bytes for backward(), and x has {x.nbytes}",
        because="Counted by torch.autograd.graph.saved_tensors_hooks: all that is kept is x, from which the rest is "
        "computed again.",
    )  # fmt: skip


def test_the_block_is_called_once_more_in_backward(solution):
    block, x = Noted(), x_of()
    out = solution.checkpoint(block, x)
    before = len(block.notes)
    gradients(out, leaves_of([block], x))
    assert_equal(
        [how for _, how in block.notes[before:]], ["on", "back"],
        "the list of what the block sees in backward(): calls with gradients on or off, and its own way back,",
        because="backward() calls the block once more, now with gradients on, and goes back through this graph.",
    )  # fmt: skip


@pytest.mark.parametrize("direct", [False, True], ids=["by backward()", "by torch.autograd.grad"])
@pytest.mark.parametrize("needs", [True, False], ids=["x learns", "x needs no gradient"])
def test_gradients_are_those_without_a_checkpoint(solution, direct, needs):
    block, x = mlp(), x_of(needs)
    leaves = leaves_of([block], x)
    right = gradients(block(x), leaves, direct=True)
    found = gradients(solution.checkpoint(block, x), leaves, direct)
    how = "by torch.autograd.grad" if direct else "by backward()"
    assert_gradients_as(
        found, right, f"{how}{'' if needs else ', of an x that needs none'}",
        "Gradients reach x, if it needs one, and each parameter of the block, as they do without a checkpoint.",
    )  # fmt: skip


def test_ids_may_go_into_a_checkpoint(solution):
    table, ids = fill(nn.Embedding(V, C)), draw_ids("ids", B=B, T=T, vocab_size=V)
    leaves = {"the table": table.weight}
    right = gradients(table(ids), leaves, direct=True)
    assert_gradients_as(
        gradients(solution.checkpoint(table, ids), leaves), right, "of an embedding in a checkpoint",
        "Ids are int64 and have no gradient; the table that they are looked up in has one all the same.",
    )  # fmt: skip


@pytest.mark.parametrize("frozen", ["one weight", "everything"])
def test_frozen_parameters_are_no_trouble(solution, frozen):
    block, x = mlp(), x_of()
    for name, p in block.named_parameters():
        p.requires_grad_(frozen != "everything" and name != "1.weight")
    leaves = leaves_of([block], x)
    right = gradients(block(x), leaves, direct=True)
    assert_gradients_as(
        gradients(solution.checkpoint(block, x), leaves), right, f"where {frozen} of the block is frozen",
        "What does not need a gradient gets none, and x and the other parameters get theirs.",
    )  # fmt: skip


def test_parameters_may_take_no_part(solution):
    block, x = mlp(), x_of()
    block.register_parameter("idle", nn.Parameter(torch.ones_like(block[1].bias)))
    leaves = leaves_of([block], x)
    right = gradients(block(x), leaves, direct=True)
    assert_gradients_as(
        gradients(solution.checkpoint(block, x), leaves), right, "where a parameter of the block takes no part",
        "It gets no gradient, or zeros, and x and the other parameters get theirs.",
    )  # fmt: skip


def test_a_block_may_be_used_twice(solution):
    block, x = mlp(), x_of()
    leaves = leaves_of([block], x)
    right = gradients(block(torch.sin(block(x))), leaves, direct=True)
    out = solution.checkpoint(block, torch.sin(solution.checkpoint(block, x)))
    assert_gradients_as(
        gradients(out, leaves), right, "of a block in two checkpoints",
        "Each checkpoint keeps its own x, and the gradients of both uses add up.",
    )  # fmt: skip


# --- dropout -------------------------------------------------------------------------------------


def on_the_cpu(module, *inputs):
    """Random numbers are drawn from the CPU's generator, whatever device is under test."""
    return module.train().to("cpu"), *(x.detach().to("cpu") for x in inputs)


def seeded(call, x):
    torch.manual_seed(3)
    return call(x)


def test_dropout_drops_as_without_a_checkpoint(solution):
    block, x = on_the_cpu(mlp(0.5), x_of())
    right = seeded(block, x).detach()
    out = assert_tensor(seeded(lambda x: solution.checkpoint(block, x), x), "checkpoint(block, x)")
    assert_close(
        out, right, "checkpoint(block, x) with dropout, from one and the same seed,", record=False,
        because="The block draws what it would have drawn without a checkpoint: its mode stays, and it is called once.",
    )  # fmt: skip


def test_backward_sees_the_same_dropout(solution):
    block, x = on_the_cpu(mlp(0.5), x_of())
    x.requires_grad_()
    leaves = leaves_of([block], x)
    right = gradients(seeded(block, x), leaves, direct=True)
    out = seeded(lambda x: solution.checkpoint(block, x), x)
    torch.rand(7)  # somebody draws in between
    assert_gradients_as(
        gradients(out, leaves), right, "with dropout",
        "The second call of the block has to drop what the first one has dropped: the random state from before the "
        "first is kept, and set again for the second.",
    )  # fmt: skip


def test_backward_leaves_the_random_state_as_it_was(solution):
    block, x = on_the_cpu(mlp(0.5), x_of())
    out = seeded(lambda x: solution.checkpoint(block, x.requires_grad_()), x)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    out.sum().backward()
    assert_identical(
        torch.get_rng_state(), before, "torch's random state after backward()",
        because="Whoever draws next draws what they would have drawn without a checkpoint: the state that was set for "
        "the second call is put back after it, as torch.random.fork_rng does.",
    )  # fmt: skip


# --- Checkpointed --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1])
def test_a_segment_without_blocks_is_refused(solution, size):
    blocks, _ = stack()
    with assert_raises(
        ValueError, f"Checkpointed(blocks, segment_size={size})", naming=[size],
        because="A segment has at least one block; the message names the value.",
    ):  # fmt: skip
        solution.Checkpointed(blocks, size)


@pytest.mark.parametrize("kind", [list, tuple, nn.ModuleList], ids=lambda kind: kind.__name__)
def test_its_parameters_are_those_of_the_blocks(solution, kind):
    blocks, _ = stack(2)
    model = solution.Checkpointed(kind(blocks), 2)
    wanted = {f"blocks.{i}.{name}": p for i, block in enumerate(blocks) for name, p in block.named_parameters()}
    found = dict(model.named_parameters())
    assert_equal(
        sorted(found), sorted(wanted), f"the list of the parameters' names, for blocks in a {kind.__name__}",
        because="The blocks are its parts, kept in an nn.ModuleList called blocks; a plain list hides them from "
        "parameters(), state_dict() and to().",
    )  # fmt: skip
    copied = [name for name, p in found.items() if p is not wanted[name]]
    assert_equal(
        copied, [], "the list of parameters that are not the blocks' own",
        because="It holds the blocks that it is given, and no copies: whoever trains it trains them.",
    )  # fmt: skip


SIZES = pytest.mark.parametrize("size", [1, 2, 3, 8])


@SIZES
def test_blocks_run_one_after_the_other(solution, size):
    blocks = [mlp(i=i) for i in range(N_BLOCKS)]
    right = chained(blocks, x_of()).detach()
    assert_close(
        solution.Checkpointed(blocks, size)(x_of()), right, f"the output of {N_BLOCKS} blocks, segment_size={size},",
        because="Each block once, in order, each on what the one before it gave, those of the last and smaller segment "
        "too: segments do not show in the output.",
    )  # fmt: skip


@pytest.mark.parametrize("needs", [True, False], ids=["x learns", "x needs no gradient"])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_gradients_of_all_blocks_are_those_without_checkpoints(solution, size, needs):
    blocks, x = [mlp(i=i) for i in range(N_BLOCKS)], x_of(needs)
    leaves = leaves_of(blocks, x)
    right = gradients(chained(blocks, x), leaves, direct=True)
    found = gradients(solution.Checkpointed(blocks, size)(x), leaves)
    assert_gradients_as(
        found, right, f"of {N_BLOCKS} blocks, segment_size={size}",
        "Segments do not show in the gradients, those of the first block and of x included.",
    )  # fmt: skip


@SIZES
def test_only_the_inputs_of_segments_are_kept(solution, size):
    (blocks, notes), x = stack(), x_of()
    model = solution.Checkpointed(blocks, size).eval()  # gradients may be on in eval mode, too
    kept = bytes_kept(blocks, lambda: model(x))
    segments = -(-N_BLOCKS // size)
    assert_true(
        kept <= segments * x.nbytes,
        f"{N_BLOCKS} blocks with segment_size={size} keep {kept} bytes for backward(), and the inputs of "
        f"{segments} segments have {segments * x.nbytes}",
        because="Counted by torch.autograd.graph.saved_tensors_hooks: of each segment nothing but its input is kept.",
    )  # fmt: skip
    assert_equal(
        notes, [(f"block {i}", "off") for i in range(N_BLOCKS)], "the list of calls of blocks in the forward pass",
        because="Each block is called once, and with gradients off.",
    )  # fmt: skip


@SIZES
def test_backward_has_one_segment_in_memory_at_a_time(solution, size):
    (blocks, notes), x = stack(), x_of()
    out = solution.Checkpointed(blocks, size)(x)
    notes.clear()
    gradients(out, leaves_of(blocks, x))
    wanted = ""
    for start in reversed(range(0, N_BLOCKS, size)):
        segment = range(N_BLOCKS)[start : start + size]
        wanted += "".join(f" {i}-on" for i in segment) + "".join(f" {i}-back" for i in reversed(segment))
    assert_equal(
        " ".join(f"{name[6:]}-{how}" for name, how in notes), wanted.strip(),
        f"the order in which {N_BLOCKS} blocks are called and gone back through in backward(), segment_size={size},",
        because="From the last segment to the first: the blocks of one are called again with gradients on, and gone "
        "back through before the next one's turn. So the graphs of segment_size blocks are in memory, and no more.",
    )  # fmt: skip


def test_segments_have_one_block_unless_you_say_so(solution):
    (blocks, notes), x = stack(2), x_of()
    out = solution.Checkpointed(blocks)(x)
    notes.clear()
    gradients(out, leaves_of(blocks, x))
    assert_equal(
        notes, [("block 1", "on"), ("block 1", "back"), ("block 0", "on"), ("block 0", "back")],
        "the list of what happens in backward() without the argument segment_size",
        because="The signature is Checkpointed(blocks, segment_size=1).",
    )  # fmt: skip


def model_of(rate=0.0):
    return [fill(nn.Embedding(V, C)), mlp(rate), mlp(rate), fill(nn.Linear(C, V))]


@pytest.mark.parametrize("rate", [0.0, 0.4], ids=["without dropout", "with dropout"])
@pytest.mark.parametrize("size", [1, 3])
def test_a_checkpointed_model_takes_the_step_of_a_plain_one(solution, size, rate):
    ids, targets = (draw_ids(name, B=4, T=T, vocab_size=V) for name in ("inputs", "targets"))
    mine, ids, targets = on_the_cpu(nn.ModuleList(model_of(rate)), ids, targets)
    theirs, *_ = on_the_cpu(nn.Sequential(*model_of(rate)))
    torch.manual_seed(5)
    for rows, wanted in zip(ids.split(2), targets.split(2), strict=True):
        (F.cross_entropy(theirs(rows).flatten(0, 1), wanted.flatten(), reduction="sum") / targets.numel()).backward()
    right = {name: p.grad for name, p in theirs.named_parameters()}
    before = {name: p.detach().clone() for name, p in mine.named_parameters()}
    model = solution.Checkpointed([*mine], size).train()
    torch.manual_seed(5)
    solution.train_step(model, ids, targets, 2, 0.5)
    for name, p in mine.named_parameters():
        assert_close(
            (before[name] - p.detach()) / 0.5, right[name], f"the gradient of {name} in a step of a Checkpointed model",
            because="With the same seed a step of micro-batches with checkpoints is the step without: the same masks "
            "in both calls of a block, and the same random numbers for the next micro-batch.", atol=1e-4, record=False,
        )  # fmt: skip
