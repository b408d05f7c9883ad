"""Problem 17, first part: what convert_hf_state_dict promises, from cause to consequence.

Shapes: C n_embd, V vocab_size, P n_positions, F n_inner.
"""

import re

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    fail,
    observe,
)
from common.testing.checkpoints import LAYERS, C, F, P, V, converted, names, published

AXES = {"V": V, "P": P, "C": C, "F": F}


WHOLE = (
    "It holds every name of a GPT-2, each in its published shape, and beside them nothing but what the README names: a "
    "prefix, old masks, a head that equals wte."
)


AS_TEXT = " Only layers above 9 are refused: as text \"9\" is larger than \"10\", so compare the numbers, int(...)."


def convert(solution, state, because=WHOLE):
    """The learner's converted dict, of a state dict that is whole."""
    try:
        result = solution.convert_hf_state_dict(state)
    except ValueError as error:
        observe("what is refused", f"{error} ({len(state)} keys)")
        fail(
            "convert_hf_state_dict refuses a state dict that is whole:",
            expected="a converted dict", got=f"ValueError: {error}",
            because=because + AS_TEXT * (set(re.findall(r"\bh\.(\d+)", str(error))) == {"10", "11"}),
        )
    assert_true(
        hasattr(result, "keys"), f"convert_hf_state_dict returns no state dict but a {type(result).__name__}",
        because="It makes a dict of names and tensors, and returns it.",
    )
    return result


def assert_names(result, because, layers=LAYERS):
    """Check that all names of GPT2Model are there, and no others."""
    missing, extra = [n for n in names(layers) if n not in result], [n for n in result if n not in names(layers)]
    assert_equal(missing, [], "the list of names that are missing in the converted dict", because=because)
    assert_equal(extra, [], "the list of names that are too many in the converted dict", because=because)


def assert_values(result, expected, because):
    """Check the tensors under the expected names; that the names are there is for other checks to say."""
    found = {name: assert_tensor(result[name], f"`{name}`").detach().cpu() for name in expected if name in result}
    observe("all numbers", torch.cat([torch.zeros(0), *(tensor.float().flatten() for tensor in found.values())]))
    for name, tensor in found.items():
        assert_close(tensor, expected[name], f"`{name}`", because=because)


# --- names ---------------------------------------------------------------------------------------


def test_names_without_a_prefix_are_kept(solution):
    assert_names(
        convert(solution, published()),
        "The result has the names of GPT2Model's state dict: the file's, and lm_head.weight, which the file leaves out "
        "as the head is tied to wte.",
    )


def test_the_prefix_is_taken_off(solution):
    assert_names(
        convert(solution, published(prefix="transformer.")),
        "GPT2Model's names have no `transformer.` in front: it is taken off where it is, and what has none is kept.",
    )


@pytest.mark.parametrize("prefix", ["", "transformer."], ids=["old", "new"])
def test_old_mask_buffers_are_left_out_and_biases_are_not(solution, prefix):
    assert_names(
        convert(solution, published(prefix=prefix, masks=True)),
        "`h.N.attn.bias` and `h.N.attn.masked_bias` are masks, which nobody learned. `h.N.attn.c_attn.bias` ends "
        "alike, and was learned.",
    )


def test_twelve_layers_have_numbers_of_one_digit_or_two(solution):
    because = "GPT-2 small has layers 0 to 11. As text '9' comes after '11', for max() and sorted() too: int() makes "
    because += "numbers of what stands between the dots."
    assert_names(convert(solution, published(12), because), because, layers=12)


def test_old_mask_buffers_are_left_out_in_layers_above_nine_too(solution):
    assert_names(
        convert(solution, published(12, masks=True)),
        "GPT-2 small has layers 0 to 11, and their numbers have one digit or two.", layers=12,
    )


@pytest.mark.parametrize("prefix", ["transformer.", ""], ids=["with prefix", "without prefix"])
def test_the_given_dict_and_its_tensors_stay_as_they_are(solution, prefix):
    given, before = (published(prefix=prefix, masks=True, head=True) for _ in range(2))
    solution.convert_hf_state_dict(given)
    assert_equal(
        sorted(set(before) ^ set(given)), [], "the list of keys that came to or went from the dict you were given",
        because="The dict is the caller's, who may need it again. What you make goes into one of your own: another "
        "name for the dict is no copy, and pop, del and d[...] = ... change the caller's.",
    )
    for name, old in before.items():
        assert_shape(
            given[name], old.shape, f"the caller's own `{name}`",
            because="The tensor is the caller's: t_() and transpose_() turn it around in place, .T gives a view of it.",
        )
        assert_identical(
            given[name], old, f"the caller's own `{name}`",
            because="The tensors are the caller's: none is changed in place.",
        )


# --- numbers -------------------------------------------------------------------------------------


def test_conv1d_weights_get_the_shape_of_a_linear_and_others_keep_theirs(solution):
    result = convert(solution, published())
    for name, tensor in converted().items():
        if name in result:
            assert_shape(
                result[name], tensor.shape, f"`{name}`",
                because="The four matrices of a block, in attn and in mlp, lie in a Conv1D as (in, out), and nn.Linear "
                "wants (out, in). Nothing else changes its shape, embeddings included.",
            )


def test_a_square_weight_is_transposed_too(solution):
    name, given = "h.0.attn.c_proj.weight", published()
    found = assert_tensor(convert(solution, dict(given)).get(name, given[name].T), f"`{name}`")
    assert_true(
        found.shape != given[name].shape or not bool((found == given[name]).all()), f"`{name}` is as it was in the "
            "file",
        because="It is (C, C), so no shape complains, but it lies in a Conv1D like the other three matrices.",
    )


def test_every_name_gets_its_own_numbers(solution):
    assert_values(
        convert(solution, published()), converted(),
        "The numbers are those of the file under this very name. In the four matrices of a block rows and columns are "
        "swapped, and nothing else is moved, scaled or rounded.",
    )


def test_old_and_new_files_give_the_same(solution):
    assert_values(
        convert(solution, published(prefix="transformer.", masks=True)), converted(),
        "A prefix and masks change nothing about the numbers.",
    )


def test_layers_10_and_up_keep_their_numbers(solution):
    because = "The number of a layer is all that stands between the dots, and counts as a number: layer 10 comes "
    because += "after layer 9, while as text '10' comes before '9', for max() too."
    result = convert(solution, dict(sorted(published(11).items(), reverse=True)), because)
    assert_names(result, because, layers=11)
    assert_values(result, converted(11), because)


def test_transposed_weights_are_contiguous(solution):
    result = convert(solution, published())
    views = [name for name in converted() if name in result and not assert_tensor(result[name], name).is_contiguous()]
    assert_equal(
        views, [], "the list of converted weights that are not contiguous",
        because=".T, transpose and permute turn the view and leave the numbers where they are, which safetensors "
        "refuses to save and a product reads more slowly: .contiguous() puts them in order.",
    )


@pytest.mark.parametrize("prefix", ["", "transformer."], ids=["old", "new"])
def test_a_head_that_equals_wte_is_fine(solution, prefix):
    because = "A file may hold lm_head.weight: where it equals wte.weight, the result is the same as without."
    result = convert(solution, published(prefix=prefix, head=True))
    assert_names(result, because)
    assert_values(result, converted(), because)


def test_each_name_is_asked_for_its_prefix(solution):
    state = published(prefix="transformer.", head=True)
    state = {"lm_head.weight": state.pop("lm_head.weight"), **state}
    because = "Each name may have the prefix or not, whatever the name before it has: lm_head.weight, first in a "
    because += "sorted file, has none, and the others do."
    assert_names(convert(solution, state, because), because)


# --- what is refused -----------------------------------------------------------------------------


def refuses(solution, state, what, because, naming=()):
    with assert_raises(ValueError, f"convert_hf_state_dict of {what}", naming=naming, because=because):
        solution.convert_hf_state_dict(state)


@pytest.mark.parametrize(
    "key", ["score.weight", "h.0.attn.q_proj.weight", "h.0.attn.scale", "h.1.mlp.bias",
    "transformer.h.0.ln_3.weight", "ln_f.running_mean"]
)
def test_an_unknown_key_is_refused(solution, key):
    refuses(
        solution, published() | {key: torch.zeros(C)}, f"a dict with `{key}` in it",
        "A key that GPT-2 does not have means another model's file, whose answers would be nonsense: a ValueError "
        "names it.", naming=[key.removeprefix("transformer.")],
    )


def test_every_missing_key_is_refused(solution):
    given = published()
    for key in given:
        refuses(
            solution, {name: tensor for name, tensor in given.items() if name != key}, f"a dict without `{key}`",
            "A weight that is not in the file would keep its random value: a ValueError names what is missing.",
            naming=[key],
        )


def test_an_empty_dict_is_refused(solution):
    refuses(solution, {}, "an empty dict", "Every key of GPT-2 is missing: a ValueError says so.")


def test_a_gap_in_the_layers_is_refused(solution):
    given = {name: tensor for name, tensor in published(3).items() if not name.startswith("h.1.")}
    refuses(
        solution, given, "a dict with layers 0 and 2 but no layer 1",
        "Layers are numbered from 0 without gaps: the highest number says how many there must be, and a ValueError "
        "that some are missing.",
    )
