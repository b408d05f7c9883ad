"""Problem 14, part 3: what SlidingWindowDataset promises, from cause to consequence.

Shapes: B batch, C context_length.
"""

from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common.testing import CheckFailed, assert_equal, assert_raises, assert_shape, fail, observe
from common.testing.calls import OUTLIVES
from common.testing.tokens import assert_gives

# All different and in no order, so that an id tells its place in the text.
IDS = [1000 + 37 * place % 211 for place in range(60)]

# (tokens, context_length, stride), so that the last window fits exactly, or is a token short, or
# leaves some over; stride below, at and above context_length; a single window; a single token.
TEXTS = [
    (23, 5, 3), (21, 5, 3), (20, 5, 3), (18, 5, 3), (13, 4, 4), (12, 4, 4), (9, 4, 4), (25, 3, 7), (5, 4, 2), (7, 1, 1),
    (9, 1, 2), (8, 6, 1),
]  # fmt: skip
each_text = pytest.mark.parametrize(("tokens", "context_length", "stride"), TEXTS)
AXES = {"context_length": 5, "stride": 3}
STRIDES = [(5, 3), (4, 4), (3, 7), (5, 1)]  # (context_length, stride)


def windows(solution, tokens=23, context_length=5, stride=3):
    return solution.SlidingWindowDataset(torch.tensor(IDS[:tokens]), context_length, stride)


def starts_of(tokens, context_length, stride):
    return [start for start in range(0, tokens, stride) if start + context_length + 1 <= tokens]


def item(dataset, index):
    """The inputs and targets of an item, once they are known to be two tensors."""
    pair = dataset[index]
    kinds = [type(part).__name__ for part in pair] if isinstance(pair, tuple | list) else []
    if len(kinds) != 2 or not all(isinstance(part, Tensor) for part in pair):
        got = f"a {type(pair).__name__}" + (f" of {len(kinds)}: {', '.join(kinds[:3])}" if kinds else "")
        observe("an item", got)
        fail(
            "an item of the dataset is not a pair of tensors:", expected="(inputs, targets), two tensors", got=got,
            because="A DataLoader stacks the inputs of some items, and their targets: each item has two tensors.",
        )  # fmt: skip
    return tuple(pair)


def assert_item(dataset, index, start, context_length, what, because):
    """Check the inputs and the targets of an item, whose window should begin at token `start`."""
    for place, (name, first) in enumerate([("inputs", start), ("targets", start + 1)]):
        assert_gives(
            f"the list of {name} of {what}", lambda i=place: item(dataset, index)[i].tolist(),
            IDS[first : first + context_length], because=because,
        )  # fmt: skip


# --- one window ----------------------------------------------------------------------------------


def test_two_datasets_do_not_share_anything(solution):
    first = windows(solution)
    before = count_of(first)
    second = solution.SlidingWindowDataset(torch.tensor(IDS[30:50]), 4, 2)
    second[0]
    says = "Two datasets are made, one for training and one for validation, and each keeps its own ids and sizes. "
    says += OUTLIVES
    what = "the number of windows of a dataset, after another one was made,"
    assert_equal(count_of(first), before, what, because=says)
    assert_item(first, 2, 6, 5, "item 2, after another dataset was made,", says)
    assert_gives("the list of the other's inputs", lambda: item(second, 1)[0].tolist(), IDS[32:36], because=says)


def test_an_item_is_a_pair_of_inputs_and_targets(solution):
    item(windows(solution), 0)


@pytest.mark.parametrize(("place", "name"), [(0, "inputs"), (1, "targets")], ids=["inputs", "targets"])
def test_inputs_and_targets_are_context_length_long(solution, place, name):
    says = "An item has context_length inputs and as many targets, one for each, in one axis; the batch axis is the "
    says += "DataLoader's. The arguments come as token_ids, context_length, stride."
    for context_length, stride in [(5, 3), (3, 7)]:
        part = item(windows(solution, 23, context_length, stride), 0)[place]
        what = f"the {name} of an item, with context_length {context_length} and stride {stride},"
        assert_shape(part, (context_length,), what, because=says)


@pytest.mark.parametrize(("place", "name"), [(0, "inputs"), (1, "targets")], ids=["inputs", "targets"])
def test_inputs_and_targets_are_int64(solution, place, name):
    assert_equal(
        str(item(windows(solution), 0)[place].dtype), "torch.int64", f"the dtype of the {name}",
        because="Ids are looked up in an embedding and are the targets of cross_entropy, which wants int64.",
    )  # fmt: skip
    small = solution.SlidingWindowDataset(torch.arange(20, dtype=torch.int32), 5, 3)
    assert_equal(
        str(item(small, 0)[place].dtype), "torch.int64", f"the dtype of the {name} where token_ids are int32",
        because="Ids are often kept in a smaller type, to save memory; the items are int64 whatever they come from.",
    )  # fmt: skip


def test_every_id_of_gpt2_fits(solution):
    ids = [50256, 40000, 32768, 32767, 0]
    dataset = solution.SlidingWindowDataset(torch.tensor(ids), 4, 1)
    assert_gives(
        "the list of inputs of item 0", lambda: item(dataset, 0)[0].tolist(), ids[:4],
        because="GPT-2 has ids up to 50256, which int16 cannot hold; int32 and int64 can.",
    )  # fmt: skip


@pytest.mark.parametrize(("context_length", "stride"), STRIDES)
def test_the_first_window_starts_at_the_first_token(solution, context_length, stride):
    dataset = windows(solution, 40, context_length, stride)
    says = "Inputs are the first of the pair, and item 0 takes tokens 0 to context_length - 1, in their order."
    call = f"the list of item 0's inputs, with context_length {context_length} and stride {stride},"
    assert_gives(call, lambda: item(dataset, 0)[0].tolist(), IDS[:context_length], because=says)


@pytest.mark.parametrize(("context_length", "stride"), STRIDES)
def test_targets_are_the_inputs_one_token_further_on(solution, context_length, stride):
    dataset = windows(solution, 40, context_length, stride)
    says = "targets[t] is the token after inputs[t] in the text, the last one's too, whatever the stride: a window "
    says += "reads context_length + 1 tokens."
    call = f"the list of item 0's targets, with context_length {context_length} and stride {stride},"
    assert_gives(call, lambda: item(dataset, 0)[1].tolist(), IDS[1 : context_length + 1], because=says)


@pytest.mark.parametrize(("context_length", "stride"), STRIDES)
def test_a_window_starts_every_stride_tokens(solution, context_length, stride):
    dataset = windows(solution, 40, context_length, stride)
    for index in (1, 2):
        start = index * stride
        says = f"Item i starts at token i * stride, so item {index} at token {start}, which is {IDS[start]} here."
        right = IDS[start : start + context_length]
        call = f"the list of item {index}'s inputs, with context_length {context_length} and stride {stride},"
        assert_gives(call, lambda i=index: item(dataset, i)[0].tolist(), right, because=says)


# --- all windows ---------------------------------------------------------------------------------


def count_of(dataset):
    """len(dataset), for which ids, a division or the method itself may be wrong."""
    try:
        return len(dataset)
    except (TypeError, ValueError) as error:
        observe("len(dataset)", str(error))
        fail(
            "len(dataset) fails:", expected="the number of windows, an int", got=f"{type(error).__name__}: {error}",
            because="A DataLoader asks for it: __len__ returns an int that is not negative, so // and not /.",
        )  # fmt: skip


def test_the_dataset_has_a_length(solution):
    count_of(windows(solution))


@pytest.mark.parametrize(("tokens", "context_length"), [(8, 7), (2, 1), (6, 5)])
def test_one_token_more_than_a_window_is_enough(solution, tokens, context_length):
    says = f"{context_length} inputs, and a target more for the last of them: that makes one whole window."
    call = f"the list of how many windows {tokens} tokens make with context_length {context_length}"
    assert_gives(call, lambda: [count_of(windows(solution, tokens, context_length, 4))], [1], because=says)


@each_text
def test_every_window_that_is_full_counts(solution, tokens, context_length, stride):
    says = "Windows start at 0, stride, 2 * stride and so on, and one counts where it and the target of its last token "
    says += f"lie in the text: start + context_length + 1 <= {tokens}."
    count = count_of(windows(solution, tokens, context_length, stride))
    observe(f"len for {tokens}, {context_length}, {stride}", float(count))
    what = f"the number of windows, for {tokens} tokens, context_length {context_length} and stride {stride},"
    assert_equal(count, len(starts_of(tokens, context_length, stride)), what, because=says)


@each_text
def test_every_window_is_full_and_in_its_place(solution, tokens, context_length, stride):
    dataset = windows(solution, tokens, context_length, stride)
    starts = starts_of(tokens, context_length, stride)
    for index in reversed(range(len(starts))):  # in any order, as a shuffling DataLoader asks
        what = f"item {index} of {len(starts)}, for {tokens} tokens, context {context_length} and stride {stride},"
        says = "Item i has the tokens i * stride to i * stride + context_length - 1 as inputs, whatever was asked for "
        says += "before it, and its targets are one further on."
        assert_item(dataset, index, starts[index], context_length, what, says)


@each_text
def test_there_is_no_window_after_the_last_one(solution, tokens, context_length, stride):
    dataset = windows(solution, tokens, context_length, stride)
    count = len(starts_of(tokens, context_length, stride))
    call = f"dataset[{count}], of a dataset with {count} window{'s'[: count > 1]},"
    says = "Items are numbered from 0 to len - 1. A for loop asks for one after the other until an IndexError comes."
    with assert_raises(IndexError, call, because=says):
        observe(f"{call} gives", str(dataset[count]))


@pytest.mark.parametrize("index", [-1, -6, -7])
def test_a_negative_index_counts_from_the_end_or_is_refused(solution, index):
    dataset = windows(solution)
    says = "The dataset has 6 windows. A negative index is an IndexError, or counts from the end, as a list does."
    try:
        pair = item(dataset, index)
    except IndexError:
        return
    except Exception as error:  # of what a start below 0 leads to
        said = f"{type(error).__name__}: {error}"
        observe(f"dataset[{index}] raises", said)
        raise CheckFailed(
            f"dataset[{index}] is neither an item nor an IndexError:", expected="one of the two", got=said,
            because=says, instead=error,
        ) from None
    if index < -6:
        fail(f"dataset[{index}] gives something:", expected="IndexError", got=[p.tolist() for p in pair], because=says)
    start = 3 * (6 + index)
    assert_equal(pair[0].tolist(), IDS[start : start + 5], f"the list of inputs of dataset[{index}]", because=says)


def test_the_callers_ids_are_left_as_they_were(solution):
    ids = torch.tensor(IDS[:23])
    dataset = solution.SlidingWindowDataset(ids, 5, 3)
    for index in range(6):
        dataset[index]
    says = "They belong to the caller. Methods that end in _, += and t[...] = ... change a tensor in place."
    assert_gives("the caller's list of ids, after all items were asked for,", ids.tolist, IDS[:23], because=says)


def test_a_dataloader_makes_batches_of_it(solution):
    batches = list(islice(DataLoader(windows(solution), batch_size=4), 9))
    says = "Of 6 windows a DataLoader makes a batch of 4 and one of 2, each a pair that is stacked from the items."
    sizes = [len(batch) for batch in batches]
    assert_equal(sizes, [2, 2], "the list of how many tensors each batch holds", because=says)
    for batch, size in zip(batches, (4, 2), strict=True):
        for name, part in zip(("inputs", "targets"), batch, strict=True):
            assert_shape(part, (size, 5), f"the {name} of a batch of {size}", because=says)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for index in range(6):
        for name, part, start in (("inputs", inputs, 3 * index), ("targets", targets, 3 * index + 1)):
            call = f"the list of item {index}'s {name}, as a DataLoader hands them out,"
            assert_gives(call, part[index].tolist, IDS[start : start + 5], because=says)


def test_the_arguments_of_the_dataset_go_by_their_names_too(solution):
    ids = torch.tensor(IDS[:23])
    dataset = solution.SlidingWindowDataset(token_ids=ids, context_length=5, stride=3)
    says = "The README's Build section has the names."
    assert_equal(len(dataset), 6, "the number of windows when the arguments go by their names", because=says)


# --- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [7, 6, 1])
def test_too_short_a_text_is_refused(solution, tokens):
    call = f"SlidingWindowDataset with {tokens} token{'s'[: tokens > 1]} and context_length 7"
    says = "A window takes context_length + 1 tokens, as its last input needs a target. An empty dataset would end a "
    says += "training without a word, so __init__ refuses."
    with assert_raises(ValueError, call, because=says):
        windows(solution, tokens, 7, 2)


@pytest.mark.parametrize(("tokens", "context_length"), [(9, 23), (31, 48)])
def test_the_message_for_too_short_a_text_names_both_numbers(solution, tokens, context_length):
    call = f"SlidingWindowDataset with {tokens} tokens and context_length {context_length}"
    says = "Whoever reads it wants to know how many tokens there were, and how many a window takes."
    with assert_raises(ValueError, call, naming=[tokens, (context_length, context_length + 1)], because=says):
        windows(solution, tokens, context_length, 4)


@pytest.mark.parametrize("context_length", [0, -1, -30])
def test_a_context_length_below_1_is_refused(solution, context_length):
    says = "A window holds a token at least; __init__ refuses what cannot work."
    with assert_raises(ValueError, f"SlidingWindowDataset with context_length {context_length}", because=says):
        windows(solution, 23, context_length, 3)


@pytest.mark.parametrize("stride", [0, -1])
def test_a_stride_below_1_is_refused(solution, stride):
    says = "With stride 0 every window would be the first one, and below 0 they would leave the text; __init__ refuses."
    with assert_raises(ValueError, f"SlidingWindowDataset with stride {stride}", because=says):
        windows(solution, 23, 5, stride)
