"""Problem 14, part 1: what text_to_token_ids and token_ids_to_text promise, from cause to consequence.

Most checks hand in a toy tokenizer; only those at the end build GPT-2's, which takes a third of a second.
Shapes: T tokens.
"""

import struct
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from common import gpt2_tokenizer
from common.testing import assert_equal, assert_shape, assert_tensor, fail, observe
from common.testing.tokens import assert_gives


class Pairs:
    """A toy tokenizer: a token is two neighbouring bytes of the text, or the one that is left over at its end."""

    def __init__(self, first=1000):
        self.first = first
        self.given = []  # what decode was called with

    def encode(self, text, **more):
        if more:
            raise TypeError(f"encode takes a text and nothing else: no {', '.join(more)}")
        data = text.encode()
        pairs = len(data) // 2
        return [self.first + code for code in (*struct.unpack_from(f">{pairs}H", data), *data[2 * pairs :])]

    def decode(self, ids):
        self.given.append(ids)
        if not is_flat(ids):
            return ""
        codes = [max(int(i) - self.first, 0) % 65536 for i in ids]
        return b"".join(code.to_bytes(1 + (code > 255), "big") for code in codes).decode(errors="replace")


def is_flat(ids):
    """Whether these are numbers in a list, as a tokenizer looks them up."""
    return isinstance(ids, Sequence) and not any(isinstance(i, Sequence | Tensor) for i in ids)


TEXT = " Low tide,\n  six feet. \n"
T = len(Pairs().encode(TEXT))  # 12
AXES = {"T": T}


# --- text_to_token_ids ---------------------------------------------------------------------------


def encoded(solution, text, *tokenizer):
    """The ids of a text as a list, whatever their shape."""
    return assert_tensor(solution.text_to_token_ids(text, *tokenizer), "text_to_token_ids(text)").flatten().tolist()


def test_a_tokenizer_is_asked_for_the_ids_of_the_text_alone(solution):
    try:
        solution.text_to_token_ids(TEXT, Pairs())
    except TypeError as error:
        observe("the error", str(error))
        fail(
            "text_to_token_ids(text, tokenizer) fails:", expected="the ids from tokenizer.encode(text)",
            got=f"TypeError: {error}",
            because="Any tokenizer has encode(text), with no other argument; allowed_special is tiktoken's alone.",
        )  # fmt: skip


@pytest.mark.parametrize("named", [{}, {"add_batch_dim": True}, {"add_batch_dim": False}], ids=["", "True", "False"])
def test_the_ids_are_a_tensor_of_int64(solution, named):
    ids = solution.text_to_token_ids(TEXT, Pairs(), **named)
    if not isinstance(ids, Tensor):
        observe("the ids", type(ids).__name__)
        fail(
            "text_to_token_ids does not return a tensor:", expected="a torch.Tensor",
            got=f"{type(ids).__name__}: {ids!r}"[:70],
            because="A model and a loss take tensors of ids, and no lists.",
        )  # fmt: skip
    assert_equal(
        str(ids.dtype), "torch.int64", "the dtype of the ids",
        because="Ids are looked up in an embedding and are the targets of cross_entropy, which wants int64, also "
        "called torch.long.",
    )  # fmt: skip


def test_every_token_of_the_text_has_its_id(solution):
    says = "The whole text goes to tokenizer.encode as it is, in one call, and what comes back is the ids: white space "
    says += "is text, and a piece of a text may have other tokens than it has in the whole."
    assert_gives("the list of ids", lambda: encoded(solution, TEXT, Pairs()), Pairs().encode(TEXT), because=says)


def test_the_ids_have_a_batch_axis_unless_told_otherwise(solution):
    says = "A model takes a batch of texts, so by default one text of T tokens is (1, T); without the axis it is (T,)."
    for call, named, shape in [
        ("text_to_token_ids(text, tokenizer)", {}, (1, T)),
        ("text_to_token_ids(text, tokenizer, add_batch_dim=True)", {"add_batch_dim": True}, (1, T)),
        ("text_to_token_ids(text, tokenizer, add_batch_dim=False)", {"add_batch_dim": False}, (T,)),
    ]:
        assert_shape(solution.text_to_token_ids(TEXT, Pairs(), **named), shape, call, because=says)


def test_the_text_is_not_changed_before_it_is_encoded(solution):
    says = "Capitals, line ends, runs of spaces and white space at the ends are text too, which a model has to learn."
    for text in ("\n\n Tide", "tide  \r\n", "THE Tide", "é e\u0301 ﬁ"):
        ids, call = Pairs().encode(text), f"the list of ids of {text!a}"
        assert_gives(call, lambda t=text: encoded(solution, t, Pairs()), ids, because=says)


def test_a_long_text_keeps_all_its_ids(solution):
    text = TEXT * 150
    assert_equal(
        len(encoded(solution, text, Pairs())), 150 * T, f"the number of ids of a text of {150 * T} tokens",
        because="A text may be longer than a model's context: windows are cut later, and every id comes out here.",
    )  # fmt: skip


def test_a_long_text_is_encoded_in_one_call(solution):
    text, toy = "é" + TEXT * 20_000, Pairs()  # é has two bytes: an even slice ends inside a token
    says = "The whole text goes to encode in one call, however long it is: cut into slices first, a token that lies "
    says += "across a cut is lost, and others stand in its place."
    found, right = encoded(solution, text, toy), toy.encode(text)
    wrong = next((i for i, (a, b) in enumerate(zip(found, right, strict=False)) if a != b), len(found))
    assert_equal(wrong, len(right), f"the number of right ids before the first wrong one, of a text of "
                 f"{len(text):,} characters,", because=says)


def test_an_empty_text_has_no_ids_of_type_int64(solution):
    ids = assert_tensor(solution.text_to_token_ids("", Pairs()), "text_to_token_ids('', tokenizer)")
    says = "torch.tensor([]) is float32, as there is nothing to guess a type from: name it, dtype=torch.int64."
    assert_equal((str(ids.dtype), tuple(ids.shape)), ("torch.int64", (1, 0)), "dtype and shape of the ids of an empty "
                 "text", because=says)


def test_with_a_tokenizer_of_ones_own_no_token_is_special(solution):
    text, call = "a<|endoftext|>b", "the list of ids of 'a<|endoftext|>b' from a tokenizer without special tokens"
    says = "50256 is GPT-2's affair: of any other tokenizer, encode(text) has the last word."
    assert_gives(call, lambda: encoded(solution, text, Pairs()), Pairs().encode(text), because=says)


def test_each_call_encodes_its_own_text_with_its_own_tokenizer(solution):
    first = encoded(solution, TEXT, Pairs())
    says = "Each call starts afresh: no text and no tokenizer of an earlier call reaches the next."
    for text, start in [("Six", 1000), (TEXT, 7000), (TEXT, 1000)]:
        toy, call = Pairs(start), f"the ids of {text!r} from a tokenizer whose ids begin at {start}"
        assert_gives(call, lambda t=text, p=toy: encoded(solution, t, p), toy.encode(text), because=says)
    assert_equal(encoded(solution, TEXT, Pairs()), first, "the list of ids of the first text, again,", because=says)


def test_ids_that_were_returned_belong_to_the_caller(solution):
    toy = Pairs()
    solution.text_to_token_ids(TEXT, toy).zero_()
    says = "The caller set the ids of the first call to 0, which must not be seen by the second one."
    assert_gives("the list of ids", lambda: encoded(solution, TEXT, toy), toy.encode(TEXT), because=says)


def test_gpt2s_ids_that_were_returned_belong_to_the_caller(solution):
    right = gpt2_tokenizer().encode("high tide")
    solution.text_to_token_ids("high tide").zero_()
    says = "The caller set the ids of the first call to 0, which must not be seen by the second one: each call makes a "
    says += "new tensor."
    by_default("text_to_token_ids(text), the second time,", lambda: encoded(solution, "high tide"), right, says)


# --- token_ids_to_text ---------------------------------------------------------------------------


def decoded(solution, ids, toy):
    """The text of some ids, and what the toy was given for it."""
    return solution.token_ids_to_text(ids, toy), toy.given


SHAPES = [(5,), (1, 5), (1,), (1, 1)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def some_ids(shape):
    return torch.tensor(Pairs().encode("high tide.")[: shape[-1]]).view(shape)


@each_shape
def test_decode_is_given_one_plain_list(solution, shape):
    ids, call = some_ids(shape), f"token_ids_to_text of ids of shape {shape}"
    _, given = decoded(solution, ids, Pairs())
    observe(f"{call} asks the tokenizer", bool(given))
    if not given:
        fail(
            f"{call} never calls decode of the tokenizer that is given:", expected="tokenizer.decode(ids)",
            got="no call",
            because="Only the tokenizer that made the ids knows what they mean; None alone stands for GPT-2's.",
        )  # fmt: skip
    observe(f"what {call} gives decode", [kind(g) for g in given])
    odd = next((g for g in given if not is_flat(g)), None)
    if odd is not None:
        fail(
            f"{call} does not call decode with a list of ids:", expected=ids.flatten().tolist(),
            got=f"{odd!r}"[:60] + f", which is {kind(odd)}",
            because="A tokenizer looks up plain ints, one after the other in one list: without the batch axis, not as "
            "tensors or arrays, and a single id is a list too.",
        )  # fmt: skip


def kind(ids):
    """What decode was given, in words: list of int, Tensor (1, 4), int."""
    if isinstance(ids, Sequence):
        inner = kind(ids[0]) if len(ids) else "nothing"
        return f"{type(ids).__name__} of {inner}"
    return f"{type(ids).__name__} {tuple(ids.shape)}" if hasattr(ids, "shape") else type(ids).__name__


@each_shape
def test_the_text_is_what_decode_gives(solution, shape):
    call = f"token_ids_to_text of ids of shape {shape}"
    says = "All the ids go into decode, in their order, and what it gives is returned."
    ids = some_ids(shape)
    assert_gives(call, lambda: solution.token_ids_to_text(ids, Pairs()), "high tide."[: 2 * shape[-1]], because=says)


def test_the_ids_are_left_as_they_were(solution):
    ids = some_ids((1, 5))
    before = ids.clone()
    solution.token_ids_to_text(ids, Pairs())
    observe("the caller's ids", ids)
    if ids.shape != before.shape or not torch.equal(ids, before):
        fail(
            "token_ids_to_text changes the ids that it is given:", expected=f"{before.tolist()}, of shape (1, 5)",
            got=f"{ids.tolist()}, of shape {tuple(ids.shape)}",
            because="They belong to the caller. Methods that end in _, += and t[...] = ... change a tensor in place.",
        )  # fmt: skip


@pytest.mark.parametrize("text", ["tide\n", "  a  b", " \n", "Low Tide"], ids=ascii)
def test_the_text_comes_back_as_it_was(solution, text):
    toy, says = Pairs(), "What decode gives is returned as it is: white space, capitals and line ends are text too."
    ids = torch.tensor([toy.encode(text)])
    call = f"token_ids_to_text of the ids of {text!r}"
    assert_gives(call, lambda: solution.token_ids_to_text(ids, toy), text, because=says)


def test_all_ids_are_decoded_at_once(solution):
    toy, text = Pairs(), "né €5"  # two of its characters lie in two tokens each
    ids, call = torch.tensor([toy.encode(text)]), "token_ids_to_text of the ids of 'né €5'"
    says = "é has two bytes and € three, which lie in tokens of their own, and half a character is none: one "
    says += "call of decode takes all ids."
    assert_gives(call, lambda: solution.token_ids_to_text(ids, toy), text, because=says)


def test_each_call_decodes_with_its_own_tokenizer(solution):
    says = "The second tokenizer has other ids for the same text: each call asks the tokenizer that it is given."
    for start in (1000, 7000):
        toy = Pairs(start)
        ids = torch.tensor(toy.encode("high tide"))
        call = f"token_ids_to_text, for a tokenizer whose ids begin at {start},"
        assert_gives(call, lambda i=ids, p=toy: solution.token_ids_to_text(i, p), "high tide", because=says)


class Empty(Pairs):
    """A tokenizer that counts as false."""

    def __len__(self):
        return 0


def test_a_tokenizer_that_counts_as_false_is_a_tokenizer(solution):
    says = "Only None stands for GPT-2's. `tokenizer or ...` and `if not tokenizer:` ask whether a tokenizer counts as "
    says += "true, and an object whose length is 0 does not: ask `tokenizer is None`."
    call = "text_to_token_ids(text, tokenizer), as a list, with a tokenizer of length 0,"
    assert_gives(call, lambda: encoded(solution, TEXT, Empty()), Pairs().encode(TEXT), because=says)
    ids, call = torch.tensor(Pairs().encode(TEXT)), "token_ids_to_text(ids, tokenizer) with a tokenizer of length 0"
    assert_gives(call, lambda: solution.token_ids_to_text(ids, Empty()), TEXT, because=says)


# --- GPT-2's tokenizer ---------------------------------------------------------------------------


def by_default(call, run, expected, because):
    """Check what a call without a tokenizer gives; there None may have been used as if it were one."""
    try:
        assert_gives(call, run, expected, because=because)
    except AttributeError as error:
        observe(call, str(error))
        fail(
            f"{call} fails:", expected="what GPT-2's tokenizer gives", got=f"AttributeError: {error}",
            because="None stands for GPT-2's tokenizer, gpt2_tokenizer(), whether it is given or left out.",
        )  # fmt: skip


@pytest.mark.parametrize("given", [(), (None,)], ids=["left out", "None"])
def test_without_a_tokenizer_the_ids_are_gpt2s(solution, given):
    call = "text_to_token_ids(text, None), as a list," if given else "text_to_token_ids(text), as a list,"
    says = "None means gpt2_tokenizer(), given or left out: the ids are what it gives, with nothing before or after."
    for text in ("The tide at Pell: 7 feet.", "\n\n Low  tide \n"):
        ids = gpt2_tokenizer().encode(text)
        by_default(call, lambda t=text: encoded(solution, t, *given), ids, says)


@pytest.mark.parametrize("text", ["one<|endoftext|>two", "<|endoftext|>", "a <|endoftext|><|endoftext|>\n"])
def test_endoftext_is_one_token_of_gpt2s(solution, text):
    right = gpt2_tokenizer().encode(text, allowed_special={"<|endoftext|>"})
    says = "Each <|endoftext|> in the text is the one token 50256, where it stands; tiktoken makes one of it if "
    says += "allowed_special names it."
    by_default(f"the list of GPT-2's ids of {text!r}", lambda: encoded(solution, text), right, says)


@pytest.mark.parametrize("given", [(), (None,)], ids=["left out", "None"])
@pytest.mark.parametrize("text", ["The tide,\n\n  she said. ", "Low 你好 café €5", "a<|endoftext|>b"], ids=ascii)
def test_gpt2s_ids_become_the_text_again(solution, text, given):
    ids = torch.tensor([gpt2_tokenizer().encode(text, allowed_special="all")])
    call = "token_ids_to_text(ids, None)" if given else "token_ids_to_text(ids)"
    says = "It is what gpt2_tokenizer().decode gives for all ids at once, <|endoftext|> included."
    by_default(call, lambda: solution.token_ids_to_text(ids, *given), text, says)


def test_the_arguments_go_by_their_names_too(solution):
    says = "The README's Build section has the names."
    ids = solution.text_to_token_ids(text=TEXT, tokenizer=Pairs(), add_batch_dim=False)
    back = solution.token_ids_to_text(token_ids=ids, tokenizer=Pairs())
    assert_equal(back, TEXT, "a text that went to ids and back, the arguments by name,", because=says)
