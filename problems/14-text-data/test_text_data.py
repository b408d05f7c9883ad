"""Problem 14: what text_to_token_ids, token_ids_to_text, train_val_split and SlidingWindowDataset promise.

From cause to consequence. Shapes: T tokens. Only the checks under "GPT-2's tokenizer" build that tokenizer,
which takes a third of a second; the others have a toy.
"""

import math
import string
from collections.abc import Sequence
from contextlib import contextmanager
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common import gpt2_tokenizer
from common.testing import (
    assert_equal,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    fail,
    observe,
)


class Bytes:
    """A toy tokenizer: a token is one byte of the text, and its id that byte's value plus 300."""

    def __init__(self):
        self.given = []  # what decode was called with

    def encode(self, text):
        return [300 + byte for byte in text.encode()]

    def decode(self, ids):
        self.given.append(ids)
        if not _is_flat(ids):
            return ""
        return bytes((int(i) - 300) % 256 for i in ids).decode(errors="replace")


def _is_flat(ids):
    """Whether tiktoken, too, would take these ids: a list of numbers."""
    return isinstance(ids, Sequence) and not any(isinstance(i, Sequence | Tensor) for i in ids)


TEXT = " Low tide,\n six feet. "


# --- text_to_token_ids ---------------------------------------------------------------------------


def test_the_ids_have_a_batch_axis_unless_told_otherwise(solution):
    T = len(TEXT)
    ids = assert_tensor(solution.text_to_token_ids(TEXT, Bytes()), "text_to_token_ids(text, tokenizer)")
    assert_equal(ids.numel(), T, f"the number of ids of a text that the tokenizer makes {T} tokens of", because="The text goes to tokenizer.encode as it is and in one piece, not stripped, not word by word or line by line, and every id comes out.")
    assert_shape(
        solution.text_to_token_ids(TEXT, Bytes()), (1, T), "text_to_token_ids(text, tokenizer)",
        because="A model takes a batch of texts, so one text of T tokens becomes (1, T): unsqueeze(0), and add_batch_dim is True by default.",
    )  # fmt: skip
    assert_shape(
        solution.text_to_token_ids(TEXT, Bytes(), add_batch_dim=False), (T,), "text_to_token_ids(text, tokenizer, add_batch_dim=False)",
        because="Without the batch axis the ids are (T,): look at what add_batch_dim does.",
    )  # fmt: skip


def test_the_ids_are_int64(solution):
    for flag in (True, False):
        ids = assert_tensor(solution.text_to_token_ids(TEXT, Bytes(), add_batch_dim=flag), "the ids")
        assert_equal(
            str(ids.dtype), "torch.int64", f"the dtype of the ids, with add_batch_dim={flag},",
            because="Ids are looked up in an embedding and are the targets of cross_entropy, which wants int64: dtype=torch.int64, also called torch.long.",
        )  # fmt: skip


def test_a_long_text_keeps_all_its_ids(solution):
    text = TEXT * 150
    assert_equal(
        assert_tensor(solution.text_to_token_ids(text, Bytes()), "the ids").numel(), len(text), f"the number of ids of a text of {len(text)} tokens",
        because="A text may be longer than a model's context: it is cut into windows later, and never cut off here.",
    )  # fmt: skip


def test_the_ids_are_those_of_the_tokenizer_that_is_given(solution):
    ids = solution.text_to_token_ids(TEXT, Bytes(), add_batch_dim=False).tolist()
    right = Bytes().encode(TEXT)
    says = "They are what tokenizer.encode(text) gives for the text as it is: nothing stripped, added, sorted or left out."
    if ids != right:
        says = next((s for s, wrong in _usual_ids(TEXT) if ids == wrong), says)
    assert_equal(ids, right, "the list of ids", because=says)


def _usual_ids(text):
    toy = Bytes()
    yield "The white space at the ends of the text is gone. It is text too: a model learns where lines end.", toy.encode(text.strip())
    yield "The text was put into lower case. GPT-2 tells `Tide` from `tide`.", toy.encode(text.lower())
    yield "Its words were joined again by single spaces: line ends and runs of spaces are lost.", toy.encode(" ".join(text.split()))
    yield "The tokenizer that was given is ignored: these are GPT-2's ids. None alone means GPT-2's.", gpt2_tokenizer().encode(text)
    yield "They are in reverse order.", toy.encode(text)[::-1]
    yield "Each id stands there once: a text repeats itself, and so do its ids.", sorted(set(toy.encode(text)))


def test_with_a_tokenizer_of_ones_own_no_token_is_special(solution):
    text = "a<|endoftext|>b"
    assert_equal(
        solution.text_to_token_ids(text, Bytes(), add_batch_dim=False).tolist(), Bytes().encode(text),
        "the list of ids of 'a<|endoftext|>b' from a tokenizer that knows no special tokens",
        because="50256 is GPT-2's affair. Of any other tokenizer, encode(text) has the last word.",
    )  # fmt: skip


# --- token_ids_to_text ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1), (1,)], ids=str)
def test_decode_is_given_a_plain_list_of_ids(solution, shape):
    toy, call = Bytes(), f"token_ids_to_text of ids of shape {shape}"
    ids = torch.tensor(toy.encode("tide"))[: shape[-1]].view(shape)
    text = solution.token_ids_to_text(ids, toy)
    observe(f"{call} asks the tokenizer", bool(toy.given))
    if not toy.given:
        fail(f"{call} never calls decode of the tokenizer that is given", because="None alone means GPT-2's tokenizer.")
    given = next((g for g in toy.given if not _is_flat(g)), None)
    observe(f"{call} gives decode", [_kind(g) for g in toy.given])
    if given is not None:
        says = "Take the batch axis off, and make plain numbers of it with tolist()."
        if isinstance(given, int) or (isinstance(given, Tensor) and not given.ndim):
            says = "A single id is a list of length 1. squeeze() takes every axis of length 1 away, and squeeze(0) does it to (1,): flatten() or view(-1) is safe."
        elif isinstance(given, Sequence) and any(isinstance(part, Sequence) for part in given):
            says = "The batch axis is still there: a list in a list. Take it off before tolist()."
        elif isinstance(given, Tensor) or (isinstance(given, Sequence) and any(isinstance(part, Tensor) for part in given)):
            says = "A tokenizer looks plain numbers up; a tensor is not equal to the number in it, and tiktoken refuses one. tolist() makes numbers."
        elif type(given).__module__ == "numpy":
            says = "A numpy array is no list, and tiktoken refuses one. tolist() makes a list of numbers."
        fail(f"{call} calls decode with something else than a list of ids:", expected=repr(torch.flatten(ids).tolist()), got=repr(given)[:70], because=says)
    reached = [int(i) for part in toy.given for i in part]
    assert_equal(reached, ids.flatten().tolist(), f"what {call} gives decode", because="All ids go into decode, as they are.")
    assert_equal(
        text, "tide"[: shape[-1]], f"{call}, the text",
        because="It is what tokenizer.decode gives. If it is empty or None, the return is missing.",
    )  # fmt: skip


def _kind(ids):
    inner = f" of {type(ids[0]).__name__}" if isinstance(ids, Sequence) and len(ids) else ""
    return type(ids).__name__ + inner


def test_the_text_comes_back_as_it_was(solution):
    for text in (TEXT, "tide\n", "  a  b"):
        back = solution.token_ids_to_text(solution.text_to_token_ids(text, Bytes()), Bytes())
        says = "decode gives back every character."
        if isinstance(back, str) and back == text.strip():
            says = "White space at the ends is lost: no strip()."
        assert_equal(back, text, "a text that went to ids and back", because=says)


def test_all_ids_are_decoded_at_once(solution):
    toy = Bytes()
    assert_equal(
        solution.token_ids_to_text(torch.tensor([toy.encode("né €5")]), toy), "né €5", "the text of the bytes of 'né €5'",
        because="é has two bytes and € three, in tokens of their own, and half a character is none: decode all ids in one call, not one by one.",
    )  # fmt: skip


# --- GPT-2's tokenizer ---------------------------------------------------------------------------


def test_without_a_tokenizer_the_ids_are_gpt2s(solution):
    text = "The tide at Pell: 7 feet."
    right = gpt2_tokenizer().encode(text)
    for call, named in (("text_to_token_ids(text)", {}), ("text_to_token_ids(text, tokenizer=None)", {"tokenizer": None})):
        with none_will_do(call):
            ids = solution.text_to_token_ids(text, **named)
        ids = assert_tensor(ids, call).flatten().tolist()
        says = "None means gpt2_tokenizer(), from common."
        if 50256 in ids:
            says = "There is a 50256 in them, and no <|endoftext|> in the text: encode only what is there."
        assert_equal(ids, right, f"{call}, as a list,", because=says)


@contextmanager
def none_will_do(call):
    """Fail where None is used as if it were a tokenizer."""
    try:
        yield
    except AttributeError as error:
        observe(call, str(error))
        if "NoneType" not in str(error):
            raise
        fail(
            f"{call} fails:", expected="GPT-2's tokenizer", got=f"AttributeError: {error}",
            because="None stands for GPT-2's tokenizer, whether it is given or left out: keep None as the default, and look in the function `if tokenizer is None`.",
        )  # fmt: skip


@pytest.mark.parametrize("text", ["one<|endoftext|>two", "<|endoftext|>", "a<|endoftext|><|endoftext|>\n"])
def test_endoftext_is_one_token_of_gpt2s(solution, text):
    right = gpt2_tokenizer().encode(text, allowed_special={"<|endoftext|>"})
    try:
        ids = solution.text_to_token_ids(text)
    except ValueError as error:
        observe("the error", str(error))
        fail(
            f"text_to_token_ids({text!r}) is refused:", expected=right, got=str(error).splitlines()[0],
            because="tiktoken takes a special token in a text only if it is allowed: encode(text, allowed_special={'<|endoftext|>'}).",
        )  # fmt: skip
    says = "Between two documents stands the one token 50256. encode_ordinary and disallowed_special=() spell it out as text; allow it with allowed_special."
    ids = assert_tensor(ids, "the ids").flatten().tolist()
    if 50256 not in ids and len(ids) == len(right):
        says = "<|endoftext|> is the last of GPT-2's 50,257 ids, and they begin with 0: 50256."
    elif 50256 in ids:
        says = "Each <|endoftext|> of the text is one 50256, where it stands, and none is added: the documents keep their own."
    assert_equal(ids, right, f"the list of GPT-2's ids of {text!r}", because=says)


@pytest.mark.parametrize("text", ["The tide,\n\n  she said.", "Low 你好 café €5", "one<|endoftext|>two"])
def test_gpt2s_ids_become_the_text_again(solution, text):
    ids = torch.tensor([gpt2_tokenizer().encode(text, allowed_special="all")])
    for call, named in (("token_ids_to_text(ids)", {}), ("token_ids_to_text(ids, tokenizer=None)", {"tokenizer": None})):
        with none_will_do(call):
            back = solution.token_ids_to_text(ids, **named)
        assert_equal(back, text, f"{call}, the text", because="It is what gpt2_tokenizer().decode gives for all ids at once, <|endoftext|> included.")


# --- train_val_split -----------------------------------------------------------------------------

LETTERS = string.ascii_letters  # 52 different characters: a part tells where it was cut


def halves(solution, text=LETTERS, *fraction):
    result = solution.train_val_split(text, *fraction)
    assert_true(isinstance(result, tuple | list) and len(result) == 2, "train_val_split does not return a pair", because="`return train, val`.")
    train, val = result
    for name, part in (("training", train), ("validation", val)):
        if not isinstance(part, str):
            observe(f"the {name} part", type(part).__name__)
            fail(
                f"the {name} part is not a text:", expected="a str", got=type(part).__name__,
                because="The text is cut before it becomes tokens, words or bytes: a slice of a str is a str.",
            )  # fmt: skip
    return train, val


def test_the_text_is_cut_into_two_texts(solution):
    halves(solution)


def test_the_training_part_is_the_start_of_the_text(solution):
    train, val = halves(solution)
    says = "It is text[:cut], characters in their own order."
    if LETTERS.startswith(val) and LETTERS.endswith(train):
        says = "The training part is the end of the text and the validation part its start. Either the two are returned in the wrong order, or cut from the wrong end: train is text[:cut]."
    elif sorted(train + val) == sorted(LETTERS):
        says = "The characters are shuffled. A model learns from their order: cut the text once, in two."
    assert_equal(train, LETTERS[: len(train)], "the training part", because=says)


def test_the_validation_part_is_all_that_is_left(solution):
    train, val = halves(solution)
    right = LETTERS[len(train) :]
    says = "It is text[cut:], with the same cut as the training part."
    if val == LETTERS:
        says = "The validation part is the whole text, so the loss would be measured on what the model has learned by heart. It is text[cut:]."
    elif val.endswith(right) and len(val) > len(right):
        says = "It begins before the training part ends: what the model was trained on does not test it. It is text[cut:]."
    elif right.endswith(val):
        says = "Characters between the two parts are lost: text[:cut] and text[cut:] hold everything."
    assert_equal(val, right, "the validation part", because=says)


@pytest.mark.parametrize(
    ("length", "fraction"), [(50, None), (50, 0.5), (40, 0.75), (14, None), (15, 0.9), (13, 0.25), (40, 0.125), (10, 0.1), (3, 0.5)]
)  # fmt: skip
def test_the_cut_is_where_the_fraction_says(solution, length, fraction):
    train, _ = halves(solution, LETTERS[:length], *([] if fraction is None else [fraction]))
    share = 0.9 if fraction is None else fraction
    exact = length * share
    says = "The cut is at int(len(text) * train_fraction) characters, whatever words and lines they make."
    if len(train) == int(0.9 * length) and share != 0.9:
        says = "train_fraction is not used: 0.9 is only its default."
    elif len(train) in (int(length * (1 - share)), length - int(exact)) and share != 0.5:
        says = "The fractions are swapped: train_fraction is the share of the training part."
    elif len(train) in (round(exact), math.ceil(exact)):
        says = "The cut is rounded down: int(len(text) * train_fraction)."
    shown = "" if fraction is None else f", {fraction}"
    assert_equal(len(train), int(exact), f"the number of characters in the training part of train_val_split(text{shown}), for {length} characters,", because=says)


def test_characters_are_counted_and_not_bytes_or_words(solution):
    text = "é你好  \n\n€ a. naïve sentence,\n cut in the middle of a word. "
    for fraction in (0.5, 0.75):
        cut = int(len(text) * fraction)
        assert_equal(
            halves(solution, text, fraction), (text[:cut], text[cut:]), "the pair of parts of a text with letters of several bytes",
            because="len(text) counts characters, and slices cut between them, in the middle of a word or not, line ends and double spaces included: no encode, split, join or strip.",
        )  # fmt: skip


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_a_fraction_outside_0_to_1_is_refused(solution, fraction):
    with assert_raises(
        ValueError, f"train_val_split(text, {fraction})",
        because="A share lies between 0 and 1. A slice does not complain, so you have to.",
    ):  # fmt: skip
        solution.train_val_split(LETTERS, fraction)


# --- SlidingWindowDataset: one window ------------------------------------------------------------

# All different and in no order, so that an id tells its place in the text.
IDS = [1000 + 37 * place % 211 for place in range(60)]

# (tokens, context_length, stride), so that the last window fits exactly, or is a token short, or
# leaves some over; stride below, at and above context_length; a single window; a single token.
TEXTS = [(23, 5, 3), (21, 5, 3), (20, 5, 3), (18, 5, 3), (13, 4, 4), (12, 4, 4), (9, 4, 4), (25, 3, 7), (5, 4, 2), (7, 1, 1), (9, 1, 2), (8, 6, 1)]
each_text = pytest.mark.parametrize(("tokens", "context_length", "stride"), TEXTS)


def windows(solution, tokens=23, context_length=5, stride=3):
    return solution.SlidingWindowDataset(torch.tensor(IDS[:tokens]), context_length, stride)


def item(dataset, index):
    pair = dataset[index]
    assert_true(
        isinstance(pair, tuple | list) and len(pair) == 2, "an item of the dataset is not a pair",
        because="An item is a tuple of two tensors, neither stacked nor in a dict: `return inputs, targets`.",
    )  # fmt: skip
    for name, part in zip(("inputs", "targets"), pair, strict=True):
        assert_tensor(part, f"the {name} of an item")
    return pair


def test_the_dataset_has_a_length(solution):
    dataset = windows(solution)
    try:
        len(dataset)
    except (TypeError, ValueError) as error:
        observe("the error", str(error))
        fail(
            "len(dataset) fails:", expected="the number of windows, an int", got=f"{type(error).__name__}: {error}",
            because="A DataLoader asks for len(dataset): define __len__, divide with // and not with /, and let ids of (T,) stay (T,), whose len is T.",
        )  # fmt: skip


def test_an_item_is_a_pair_of_inputs_and_targets(solution):
    item(windows(solution), 0)


def test_inputs_and_targets_are_context_length_long(solution):
    for name, part in zip(("inputs", "targets"), item(windows(solution), 0), strict=True):
        says = "One id for each token and no other axis: the batch axis is the DataLoader's."
        if part.ndim == 1:
            says = "A window is cut from context_length + 1 tokens, so that its last input has a target too: inputs are all but the last, targets all but the first."
        if tuple(part.shape) == (3,):
            says = "3 is the stride: the order of the arguments is token_ids, context_length, stride."
        assert_shape(part, (5,), f"the {name} of an item, with context_length 5 and stride 3,", because=says)


def test_inputs_and_targets_are_int64(solution):
    for name, part in zip(("inputs", "targets"), item(windows(solution), 0), strict=True):
        assert_equal(
            str(part.dtype), "torch.int64", f"the dtype of the {name}",
            because="Ids are looked up in an embedding and are the targets of cross_entropy, which wants int64.",
        )  # fmt: skip


def test_the_first_window_starts_at_the_first_token(solution):
    inputs, targets = item(windows(solution), 0)
    says = "Item 0 starts at token 0 and takes the next ones in their order."
    if inputs.tolist() == IDS[1:6] and targets.tolist() == IDS[:5]:
        says = "These are the targets: inputs come first in the pair, and start at token 0."
    assert_equal(inputs.tolist(), IDS[:5], "the list of the first item's inputs", because=says)


def test_targets_are_the_inputs_one_token_further_on(solution):
    _, targets = item(windows(solution), 0)
    got, says = targets.tolist(), "targets[t] is the token that comes after inputs[t] in the text."
    usual = {
        "Your targets are the inputs themselves: the model would learn to copy. They start one token later.": IDS[:5],
        "Your targets are two tokens ahead. They start one token after the inputs.": IDS[2:7],
        "Your targets start a stride further on, not a token.": IDS[3:8],
        "Your targets are the window after this one: they start a whole context_length further on, not a token.": IDS[5:10],
        "roll puts the first input at the end: the last target is the next token of the text, so a window reads context_length + 1 tokens.": [*IDS[1:5], IDS[0]],
        "1 was added to the ids, not to the place: targets are the next tokens of the text.": [i + 1 for i in IDS[:5]],
        "The last target is filled up with a made-up token: it is the next token of the text, so a window reads context_length + 1 tokens.": [*IDS[1:5], got[-1]],
    }
    says = next((text for text, wrong in usual.items() if got == wrong != IDS[1:6]), says)
    assert_equal(got, IDS[1:6], "the list of the first item's targets", because=says)


# --- SlidingWindowDataset: all windows -----------------------------------------------------------


def _starts(tokens, context_length, stride):
    return [start for start in range(0, tokens, stride) if start + context_length + 1 <= tokens]


@pytest.mark.parametrize(("context_length", "stride"), [(5, 3), (4, 4), (3, 7), (5, 1)])
def test_a_window_starts_every_stride_tokens(solution, context_length, stride):
    dataset = windows(solution, 40, context_length, stride)
    for index in (1, 2):
        inputs, _ = item(dataset, index)
        first = int(inputs[0]) if inputs.numel() else None
        place = IDS.index(first) if first in IDS else None
        says = f"Item i starts at token i * stride, so this one starts at token {index * stride}."
        if place is not None and place != index * stride:
            says += f" Yours starts at token {place}" + {
                0: ": the index is not used, or what was asked for before counts instead.",
                index: ": stride is not used.",
                index * context_length: ": windows are stride apart, and not context_length.",
                index * (context_length + 1): ": the targets' extra token belongs to the next window too.",
                index * (context_length + stride): ": stride is counted from the start of the window before, and not from its end.",
                index * (stride + 1): ": windows are stride apart, and not one more.",
            }.get(place, ".")
        assert_equal(
            inputs.tolist(), IDS[index * stride : index * stride + context_length],
            f"the list of item {index}'s inputs, with context_length {context_length} and stride {stride},", because=says,
        )  # fmt: skip


def _extra_window(dataset, index, stride):
    """What is wrong with a window that should not be there."""
    try:
        inputs, targets = (part.tolist() for part in dataset[index])
    except Exception as error:
        observe("an extra item", type(error).__name__)
        return ""
    observe("an extra item", (inputs, targets))
    if not set(inputs + targets) <= set(IDS):
        return "The last one is filled up with made-up tokens, which the model would learn to predict: what is left over is left out. "
    if inputs and IDS.index(inputs[0]) % stride:
        return "The last one is moved back until it fits: what is left over is left out. "
    return "The last one runs past the end of the text, or wants a target that is not there. "


@each_text
def test_every_window_that_is_full_counts(solution, tokens, context_length, stride):
    dataset = windows(solution, tokens, context_length, stride)
    count, right = len(dataset), len(_starts(tokens, context_length, stride))
    span, usual = tokens - context_length - 1, "start + context_length + 1 <= number of tokens. "
    if count == right + 1:
        says = f"One too many. {_extra_window(dataset, count - 1, stride)}A window starts where {usual}"
    elif count == right - 1:
        says = f"The last window is missing, though it and its targets still fit. A window starts where {usual}"
    elif count == span + 1:
        says = "That is a window for every token: len must count those that start every stride tokens."
    elif count == tokens:
        says = "That is the number of tokens. len(dataset) is the number of windows."
    else:
        says = f"A window starts at 0, stride, 2 * stride, ... where {usual}"
    assert_equal(
        count, right, f"the number of windows, for {tokens} tokens, context_length {context_length} and stride {stride},",
        because=says.strip(),
    )  # fmt: skip


@each_text
def test_every_window_is_full_and_in_its_place(solution, tokens, context_length, stride):
    dataset = windows(solution, tokens, context_length, stride)
    starts = _starts(tokens, context_length, stride)
    for index in reversed(range(len(starts))):  # in any order, as a shuffling DataLoader asks
        start = starts[index]
        pair = tuple(part.tolist() for part in item(dataset, index))
        assert_equal(
            pair, (IDS[start : start + context_length], IDS[start + 1 : start + 1 + context_length]),
            f"item {index} of {len(starts)}, as lists, for {tokens} tokens, context_length {context_length} and stride {stride},",
            because="Item i is tokens i * stride to i * stride + context_length, whatever was asked for before it; targets are one further on. All windows are full.",
        )  # fmt: skip


def test_the_callers_ids_are_left_as_they_were(solution):
    ids = torch.tensor(IDS[:23])
    dataset = solution.SlidingWindowDataset(ids, 5, 3)
    for index in range(6):
        dataset[index]
    assert_true(
        ids.tolist() == IDS[:23], "token_ids were changed",
        because="They belong to the caller: methods that end in _ change a tensor in place.",
    )  # fmt: skip


def test_a_dataloader_makes_batches_of_it(solution):
    ids = torch.tensor(IDS[:23])
    batches = list(islice(DataLoader(solution.SlidingWindowDataset(ids, 5, 3), batch_size=4), 9))
    assert_equal(
        [len(batch) for batch in batches], [2, 2], "the list of how many tensors each batch holds, for 6 windows and batch_size 4,",
        because="Two batches, each a pair of inputs and targets: the DataLoader stacks the items it gets.",
    )  # fmt: skip
    for batch, size in zip(batches, (4, 2), strict=True):
        for name, part in zip(("inputs", "targets"), batch, strict=True):
            assert_shape(part, (size, 5), f"the {name} of a batch", because="The DataLoader stacks items of (context_length,) to (B, context_length).")
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for index, pair in enumerate(zip(inputs.tolist(), targets.tolist(), strict=True)):
        right = IDS[3 * index : 3 * index + 5], IDS[3 * index + 1 : 3 * index + 6]
        assert_equal(pair, right, f"item {index}, as lists, as it comes out of a DataLoader", because="A DataLoader hands out the dataset's items in their order.")


def test_arguments_go_by_their_names_too(solution):
    toy = Bytes()
    ids = solution.text_to_token_ids(text=TEXT, tokenizer=toy, add_batch_dim=False)
    solution.token_ids_to_text(token_ids=ids, tokenizer=toy)
    solution.train_val_split(text=TEXT, train_fraction=0.5)
    dataset = solution.SlidingWindowDataset(token_ids=torch.tensor(IDS[:23]), context_length=5, stride=3)
    assert_equal(len(dataset), 6, "the number of windows when the arguments go by their names", because="The README's Build section has the names.")


# --- SlidingWindowDataset: what it refuses -------------------------------------------------------


def test_one_token_more_than_a_window_is_enough(solution):
    try:
        dataset = windows(solution, 8, 7, 4)
    except ValueError as error:
        observe("the error", type(error).__name__)
        fail(
            "SlidingWindowDataset refuses 8 tokens for context_length 7:", expected="one window", got=f"ValueError: {error}",
            because="7 inputs, and for the last of them one target more: 8 tokens are just enough.",
        )  # fmt: skip
    assert_equal(len(dataset), 1, "the number of windows, for 8 tokens and context_length 7,", because="7 inputs and one target more: that is just enough for one window.")


@pytest.mark.parametrize("tokens", [7, 6, 1])
def test_too_short_a_text_is_refused(solution, tokens):
    with assert_raises(
        ValueError, f"SlidingWindowDataset with {tokens} token{'s'[: tokens > 1]} and context_length 7",
        because="A window takes context_length + 1 tokens, as its last input needs a target. Without one the dataset is empty, and training on it would end at once without a word: refuse in __init__.",
    ):  # fmt: skip
        windows(solution, tokens, 7, 2)


def test_the_message_for_too_short_a_text_names_both_numbers(solution):
    with assert_raises(
        ValueError, "SlidingWindowDataset with 9 tokens and context_length 23", naming=[9, (23, 24)],
        because="Whoever reads it wants to know how many tokens there were, and how many a window takes.",
    ):  # fmt: skip
        windows(solution, 9, 23, 4)


@pytest.mark.parametrize("context_length", [0, -1, -30])
def test_a_context_length_below_1_is_refused(solution, context_length):
    with assert_raises(
        ValueError, f"SlidingWindowDataset with context_length {context_length}", because="A window holds at least one token. Refuse it in __init__.",
    ):  # fmt: skip
        windows(solution, 23, context_length, 3)


@pytest.mark.parametrize("stride", [0, -1])
def test_a_stride_below_1_is_refused(solution, stride):
    with assert_raises(
        ValueError, f"SlidingWindowDataset with stride {stride}", because="With stride 0 every window would be the first one, and there would be no end of them; below 0 they would leave the text. Refuse it in __init__.",
    ):  # fmt: skip
        windows(solution, 23, 5, stride)
