"""Problem 09: what GPT2Config promises, from cause to consequence.

Letters: C n_embd, H n_head, D head_dim = C // H.
"""

import dataclasses

import pytest

from common.testing import CheckFailed, assert_equal, assert_raises, assert_true, observe
from common.testing.calls import OUTLIVES

DEFAULTS = {
    "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": 3072,
    "embd_pdrop": 0.1, "attn_pdrop": 0.1, "resid_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "initializer_range": 0.02,
}  # fmt: skip
CHANGED = {
    "vocab_size": 29, "n_positions": 11, "n_embd": 15, "n_layer": 4, "n_head": 3, "n_inner": 41,
    "embd_pdrop": 0.15, "attn_pdrop": 0.25, "resid_pdrop": 0.35, "layer_norm_epsilon": 0.03, "initializer_range": 0.05,
}  # fmt: skip
SIZES = ["vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"]
RATES = ["embd_pdrop", "attn_pdrop", "resid_pdrop"]
PRESETS = {  # layers, width, heads, parameters
    "gpt2_small": (12, 768, 12, 124_439_808),
    "gpt2_medium": (24, 1024, 16, 354_823_168),
    "gpt2_large": (36, 1280, 20, 774_030_080),
    "gpt2_xl": (48, 1600, 25, 1_557_611_200),
}


def changed(solution, **fields):
    """A config in which no field has its default, and these have the values given."""
    return solution.GPT2Config(**{**CHANGED, **fields})


def look(solution, field, value):
    """Make a config that has to be refused; what one that is not refused holds tells what was done instead."""
    observe(f"GPT2Config({field}={value!r}).{field}", getattr(changed(solution, **{field: value}), field))


def refuses(solution, field, value):
    """Whether a config with this value is refused, whichever way."""
    try:
        changed(solution, **{field: value})
    except (TypeError, ValueError):
        return True
    return False


def accepted(make, call, *, because):
    """What make() gives; a config that makes a model must not be refused."""
    try:
        return make()
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        observe(f"{call} raises", f"{type(error).__name__}: {error}")
        raise CheckFailed(f"{call} fails with {type(error).__name__}: {error}", because=because) from None


# --- fields --------------------------------------------------------------------------------------


def test_a_config_can_be_made_without_arguments(solution):
    accepted(
        solution.GPT2Config, "GPT2Config()",
        because="Every field has a default, the defaults make a model, and where __post_init__ of a frozen dataclass "
        "fills a field in, it does so with object.__setattr__(self, name, value).",
    )


@pytest.mark.parametrize("field", DEFAULTS)
def test_each_field_can_be_given_by_its_name(solution, field):
    accepted(
        lambda: solution.GPT2Config(**{field: DEFAULTS[field]}), f"GPT2Config({field}={DEFAULTS[field]})",
        because="The eleven fields are arguments of the constructor, by the names of the README's Build section. In a "
        "dataclass a field is a line with a type, as in `n_layer: int = 12`.",
    )


@pytest.mark.parametrize("field", DEFAULTS)
def test_the_defaults_are_gpt2_small(solution, field):
    assert_equal(
        getattr(solution.GPT2Config(), field, "no such field"), DEFAULTS[field], f"GPT2Config().{field}",
        because="GPT-2 small has 50257 tokens (256 bytes, 50,000 merges, <|endoftext|>), 1024 positions, 768 "
        "channels, 12 layers, 12 heads, rates of 0.1, an epsilon of 1e-5 and an initializer_range of 0.02; n_inner "
        "reads 4 * n_embd.",
    )


@pytest.mark.parametrize("field", CHANGED)
def test_each_field_keeps_what_it_is_given(solution, field):
    assert_equal(
        getattr(changed(solution), field), CHANGED[field], f"{field} of a config in which every field was given",
        because="A number that is given is kept, by the field that it was given to.",
    )


def test_a_field_given_alone_leaves_the_others_at_their_defaults(solution):
    config = solution.GPT2Config(n_layer=3)
    others = [f for f in DEFAULTS if f != "n_layer" and getattr(config, f) != DEFAULTS[f]]
    assert_equal(
        others, [], "the list of other fields of GPT2Config(n_layer=3) that are not GPT-2 small's",
        because="Fields do not depend on each other, except for n_inner, which depends on n_embd where it was not "
        "given.",
    )


@pytest.mark.parametrize(("n_embd", "n_inner", "expected"), [(20, None, 80), (36, None, 144), (20, 7, 7), (20, 1, 1)])
def test_n_inner_is_four_times_n_embd_unless_given(solution, n_embd, n_inner, expected):
    config = solution.GPT2Config(n_embd=n_embd, n_head=4, n_inner=n_inner)
    assert_equal(
        config.n_inner, expected, f"GPT2Config(n_embd={n_embd}, n_inner={n_inner}).n_inner",
        because="None means 4 * n_embd, with the n_embd of this config, and a number that is given is kept.",
    )


@pytest.mark.parametrize(("n_embd", "n_head", "expected"), [(768, 12, 64), (15, 3, 5), (15, 15, 1), (7, 1, 7)])
def test_head_dim_is_the_width_of_one_head(solution, n_embd, n_head, expected):
    value = solution.GPT2Config(n_embd=n_embd, n_head=n_head).head_dim
    assert_equal(
        type(value).__name__, "int", "the type of config.head_dim",
        because="head_dim is a @property, so that config.head_dim is the number itself, and it is used as a size, "
        "so the number is an int: // gives one, / never does.",
    )
    assert_equal(
        value, expected, f"head_dim for n_embd={n_embd}, n_head={n_head}",
        because="The heads share out the n_embd channels evenly: D = C // H, both of this config. GPT2Config.n_head is "
        "the default of the class, and self.n_head is what this config was given.",
    )


# --- a value, not a thing that changes -----------------------------------------------------------


@pytest.mark.parametrize("field", ["n_layer", "embd_pdrop", "n_inner"])
def test_fields_cannot_be_assigned(solution, field):
    config = changed(solution)
    with assert_raises(
        AttributeError, f"config.{field} = 5",
        because="Two parts of a model must not disagree on its shape, so a config never changes; "
        "@dataclass(frozen=True) refuses assignment with an AttributeError.",
    ):
        setattr(config, field, 5)
    assert_equal(
        getattr(config, field), CHANGED[field], f"config.{field} after the refused assignment",
        because="What was refused has not happened: the field is as it was.",
    )


def by_fields(kind):
    """What == of two configs of a class asks."""
    if not dataclasses.is_dataclass(kind):
        return "A plain class asks whether both are one and the same object, unless it has an __eq__."
    if "__eq__" in vars(kind):
        return "A dataclass compares all of its fields, unless it has an __eq__ of its own or compare=False on a field."
    return "A dataclass does so by itself, unless it is made with eq=False: yours has no __eq__."


@pytest.mark.parametrize("fields", [CHANGED, {}], ids=["given", "defaults"])
def test_equal_fields_make_equal_configs(solution, fields):
    assert_true(
        solution.GPT2Config(**fields) == solution.GPT2Config(**fields), "two configs with equal fields are not equal",
        because=f"A config is its fields, and == compares these. {by_fields(solution.GPT2Config)}",
    )


def test_n_inner_counts_as_what_it_reads(solution):
    assert_true(
        solution.GPT2Config(n_embd=20, n_head=4) == solution.GPT2Config(n_embd=20, n_head=4, n_inner=80),
        "a config with n_inner=None and one with n_inner=4 * n_embd are not equal",
        because="n_inner reads 4 * n_embd in both, so all their fields are equal, and so are they.",
    )


@pytest.mark.parametrize("field", [f for f in CHANGED if f != "n_head"])
def test_one_different_field_makes_configs_differ(solution, field):
    assert_true(
        changed(solution) != changed(solution, **{field: CHANGED[field] * 2}), f"configs that differ in {field} are "
            "equal",
        because="All eleven fields take part in the comparison.",
    )


# --- what makes no model is refused --------------------------------------------------------------


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [2.0, "12", True], ids=repr)
def test_sizes_that_are_no_int_are_refused(solution, field, value):
    with assert_raises(
        TypeError, f"GPT2Config({field}={value!r})", naming=[field, (value, type(value).__name__)],
        because="A size is an int, n_inner like the others, and anything else is a TypeError whose message names "
        "field and value, before any rule that computes with it. bool is a subclass of int, so isinstance(True, int) "
        "is True and bool is asked for by itself.",
    ):
        look(solution, field, value)


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused(solution, field, value):
    with assert_raises(
        ValueError, f"GPT2Config({field}={value})", naming=[field, value],
        because="Every size is at least 1, n_inner like the others (0 is a number that was given, and not None), and "
        "any other is a ValueError whose message names field and value.",
    ):
        look(solution, field, value)


@pytest.mark.parametrize("field", SIZES)
def test_sizes_of_one_are_accepted(solution, field):
    fields = {field: 1, "n_head": 1} if field == "n_embd" else {field: 1}
    because = "1 is the smallest size that is allowed: one layer, one head or one channel make a model, if a small one."
    config = accepted(lambda: changed(solution, **fields), f"GPT2Config({field}=1)", because=because)
    assert_equal(getattr(config, field), 1, f"GPT2Config({field}=1).{field}", because=because)


@pytest.mark.parametrize(("n_embd", "n_head"), [(770, 12), (15, 4), (3, 15)])
def test_a_width_that_the_heads_do_not_divide_is_refused(solution, n_embd, n_head):
    with assert_raises(
        ValueError, f"a config with n_embd={n_embd} and n_head={n_head}", naming=["n_embd", n_embd],
        because="Every head gets n_embd / n_head channels, so n_embd is a multiple of n_head, and any other is a "
        "ValueError whose message names field and value; a print lets it through, and an assert can be switched off.",
    ):
        changed(solution, n_embd=n_embd, n_head=n_head)


@pytest.mark.parametrize("field", RATES)
@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, float("nan")], ids=repr)
def test_dropout_rates_outside_of_0_to_1_are_refused(solution, field, value):
    others = [f"{other}={value}" for other in RATES if other != field and refuses(solution, other, value)]
    with assert_raises(
        ValueError, f"GPT2Config({field}={value})", naming=[field, value],
        because="A rate is a share, 0 <= rate < 1, and any other is a ValueError whose message names field and value."
        + f" You refuse {' and '.join(others)}: is {field} asked too, and by its own name?" * bool(others)
        + " With NaN every comparison is False, so `not 0 <= rate < 1` refuses it and `rate < 0 or rate >= 1` does "
        "not." * (value != value),
    ):
        look(solution, field, value)


@pytest.mark.parametrize("field", RATES)
@pytest.mark.parametrize("value", [0.0, 0, 0.999])
def test_dropout_rates_from_0_up_to_1_are_accepted(solution, field, value):
    because = "0 <= rate < 1 are the rates that make sense: 0 turns dropout off."
    config = accepted(lambda: changed(solution, **{field: value}), f"GPT2Config({field}={value})", because=because)
    assert_equal(getattr(config, field), value, f"GPT2Config({field}={value}).{field}", because=because)


@pytest.mark.parametrize("field", ["layer_norm_epsilon", "initializer_range"])
@pytest.mark.parametrize("value", [0.0, -1e-5, float("nan")], ids=repr)
def test_epsilon_and_initializer_range_must_be_above_zero(solution, field, value):
    with assert_raises(
        ValueError, f"GPT2Config({field}={value})", naming=[field, value],
        because="Both are above 0, and anything else is a ValueError whose message names field and value. With NaN "
        "every comparison is False, so `not value > 0` refuses it and `value <= 0` does not.",
    ):
        look(solution, field, value)


# --- presets -------------------------------------------------------------------------------------


def preset(solution, name):
    return accepted(
        getattr(solution.GPT2Config, name), f"GPT2Config.{name}()",
        because="A preset is a @classmethod: it is called on the class, without arguments, and returns cls(...) with "
        "the layers / width / heads 12/768/12, 24/1024/16, 36/1280/20 or 48/1600/25.",
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_called_on_the_class_and_gives_a_config(solution, name):
    config = preset(solution, name)
    assert_true(
        isinstance(config, solution.GPT2Config), f"GPT2Config.{name}() gives no GPT2Config but a "
            f"{type(config).__name__}",
        because="A preset is a @classmethod that returns cls(...).",
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_have_the_published_shapes(solution, name):
    n_layer, n_embd, n_head, _ = PRESETS[name]
    config = preset(solution, name)
    shape = {**DEFAULTS, "n_layer": n_layer, "n_embd": n_embd, "n_head": n_head, "n_inner": 4 * n_embd}
    for field, expected in shape.items():
        assert_equal(
            getattr(config, field), expected, f"{name}().{field}",
            because="Layers / width / heads are 12/768/12, 24/1024/16, 36/1280/20 and 48/1600/25; everything else is "
            "as in the small model, and n_inner is 4 * n_embd.",
        )


def test_the_small_preset_is_the_default(solution):
    assert_true(
        preset(solution, "gpt2_small") == solution.GPT2Config(), "GPT2Config.gpt2_small() differs from GPT2Config()",
        because="The defaults are GPT-2 small's.",
    )


# --- num_parameters ------------------------------------------------------------------------------


def count_of(solution, **fields):
    """num_parameters() of the changed config, and the sizes that it follows from."""
    sizes = {**CHANGED, **fields}
    return changed(solution, **fields).num_parameters(), [sizes[name] for name in SIZES if name != "n_head"]


def right_count(vocab_size, n_positions, C, n_layer, inner):
    attention = (C * 3 * C + 3 * C) + (C * C + C)
    feed_forward = (C * inner + inner) + (inner * C + C)
    return (vocab_size + n_positions) * C + n_layer * (attention + feed_forward + 2 * (C + C)) + (C + C)


def test_num_parameters_is_an_int(solution):
    assert_equal(
        type(count_of(solution)[0]).__name__, "int", "the type of num_parameters()",
        because="num_parameters is a method, and parameters are counted: sums and products of ints are ints, / gives "
        "a float.",
    )


@pytest.mark.parametrize(
    ("field", "because"),
    [
        ("vocab_size", "A token more is a row of C numbers more in wte, and nowhere else: the output layer is wte "
            "again."),
        ("n_positions", "A position more is a row of C numbers more in wpe."),
        ("n_inner", "A channel more inside, in each block: c_fc gets a row of C and a bias, c_proj a column of C."),
        ("n_layer", "A block has c_attn (C to 3C), c_proj (C to C), c_fc (C to n_inner), c_proj (n_inner to C), all "
            "with biases, and two norms of 2C."),
    ],
    ids=["vocab_size", "n_positions", "n_inner", "n_layer"],
)  # fmt: skip
def test_num_parameters_grows_with_each_size(solution, field, because):
    (small, sizes), (large, more) = count_of(solution), count_of(solution, **{field: CHANGED[field] + 1})
    observe("num_parameters()", [small, large])
    if large == small:
        because += " 0 more is what a count gives that does not ask for this size, or one that was kept of an earlier "
        because += f"config and is handed out again. {OUTLIVES}"
    assert_equal(
        large - small, right_count(*more) - right_count(*sizes), f"what num_parameters() gains by one more {field}",
        because=because,
    )


def test_the_number_of_heads_does_not_change_num_parameters(solution):
    three, five = count_of(solution)[0], count_of(solution, n_head=5)[0]
    assert_equal(
        five - three, 0, "what num_parameters() gains by 5 heads in place of 3",
        because="Heads share out the same C channels: more of them are narrower, and the matrices stay as they are.",
    )


@pytest.mark.parametrize("fields", [{}, {"n_embd": 18}, {"n_embd": 18, "n_layer": 7, "n_inner": 60}], ids=str)
def test_num_parameters_counts_every_weight_once(solution, fields):
    count, sizes = count_of(solution, **fields)
    said = ", ".join(f"{name}={n}" for name, n in zip([n for n in SIZES if n != "n_head"], sizes, strict=True))
    assert_equal(
        count, right_count(*sizes), f"num_parameters() for {said}",
        because="It counts wte and wpe, in each block two norms, c_attn, c_proj, c_fc and c_proj, all with their "
        "biases, and the final norm, with a weight and a bias of C each; the output layer is wte again.",
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_have_the_published_number_of_parameters(solution, name):
    expected = PRESETS[name][3]
    assert_equal(
        preset(solution, name).num_parameters(), expected, f"{name}().num_parameters()",
        because=f"The published model has {expected:,}, with all biases and the tied output layer counted once.",
    )
