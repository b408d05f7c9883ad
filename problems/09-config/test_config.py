"""Problem 09: what GPT2Config promises, from cause to consequence."""

import pytest

from common.testing import CheckFailed, assert_equal, assert_raises, assert_true, fail

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
PRESETS = {
    "gpt2_small": (12, 768, 12, 124_439_808),
    "gpt2_medium": (24, 1024, 16, 354_823_168),
    "gpt2_large": (36, 1280, 20, 774_030_080),
    "gpt2_xl": (48, 1600, 25, 1_557_611_200),
}


def build(solution, **fields):
    """GPT2Config(**fields), with a sentence where the class does not take a field."""
    try:
        return solution.GPT2Config(**fields)
    except TypeError as error:
        if "unexpected keyword" in str(error) or "takes no arguments" in str(error) or "takes 1 positional" in str(error):
            raise CheckFailed(
                f"GPT2Config does not take a field: {error}",
                because="The fields are those of the README's Build section, each with its default. In a dataclass every field needs a type: `vocab_size: int = 50257`.",
            ) from None
        raise


# --- fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", DEFAULTS)
def test_the_defaults_are_gpt2_small(solution, field):
    config = build(solution)
    assert_true(hasattr(config, field), f"GPT2Config() has no field {field}", because="The README's Build section lists the fields.")
    expected = DEFAULTS[field]
    because = {
        "vocab_size": "GPT-2 has 50257 tokens: 256 bytes, 50,000 merges and one <|endoftext|>.",
        "n_positions": "GPT-2's context is 1024 tokens.",
        "n_inner": "n_inner reads 4 * n_embd when it was not given: fill it in at construction.",
        "layer_norm_epsilon": "GPT-2's norms use 1e-5.",
    }.get(field, "The defaults are GPT-2 small's.")
    assert_equal(getattr(config, field), expected, f"GPT2Config().{field}", because=because)


@pytest.mark.parametrize("field", CHANGED)
def test_each_field_keeps_what_it_is_given(solution, field):
    config = build(solution, **CHANGED)
    assert_equal(
        getattr(config, field), CHANGED[field], f"{field} of a config in which every field was given",
        because="Each field keeps its own value; none takes another field's, and only n_inner=None is filled in.",
    )  # fmt: skip


def test_a_field_given_alone_leaves_the_others_at_their_defaults(solution):
    config = build(solution, n_layer=3)
    changed = [f for f in DEFAULTS if f != "n_layer" and getattr(config, f) != DEFAULTS[f]]
    assert_equal(changed, [], "the list of other fields that GPT2Config(n_layer=3) changed", because="Fields do not depend on each other, except n_inner on n_embd.")


@pytest.mark.parametrize(("n_embd", "n_inner", "expected"), [(20, None, 80), (20, 7, 7), (36, 144, 144), (20, 1, 1)])
def test_n_inner_is_four_times_n_embd_unless_given(solution, n_embd, n_inner, expected):
    config = build(solution, n_embd=n_embd, n_head=4, n_inner=n_inner)
    assert_equal(
        config.n_inner, expected, f"GPT2Config(n_embd={n_embd}, n_inner={n_inner}).n_inner",
        because="None means 4 * n_embd (not 4 * 768); any number that is given is kept.",
    )  # fmt: skip


@pytest.mark.parametrize(("n_embd", "n_head", "expected"), [(768, 12, 64), (15, 3, 5), (15, 15, 1), (7, 1, 7)])
def test_head_dim_is_the_width_of_one_head(solution, n_embd, n_head, expected):
    config = build(solution, n_embd=n_embd, n_head=n_head)
    value = config.head_dim
    if callable(value):
        fail("head_dim is a method:", expected="a property: config.head_dim", got="config.head_dim()", because="Put @property above it.")
    assert_true(
        type(value) is int, f"head_dim is a {type(value).__name__}, {value!r}",
        because="It is used as a size, so it has to be an int: divide with //.",
    )  # fmt: skip
    assert_equal(value, expected, f"head_dim for n_embd={n_embd}, n_head={n_head}", because="D = C // H: n_embd // n_head.")


# --- a value, not a thing that changes -----------------------------------------------------------


@pytest.mark.parametrize("field", ["n_layer", "embd_pdrop", "n_inner"])
def test_fields_cannot_be_assigned(solution, field):
    config = build(solution, **CHANGED)
    with assert_raises(
        AttributeError, f"config.{field} = 5",
        because="Two parts of a model must not disagree on its shape, so the config never changes: @dataclass(frozen=True).",
    ):  # fmt: skip
        setattr(config, field, 5)
    assert_equal(getattr(config, field), CHANGED[field], f"config.{field} after the refused assignment", because="The refused assignment leaves the field as it was.")


def test_equal_fields_make_equal_configs(solution):
    assert_true(
        build(solution, **CHANGED) == build(solution, **CHANGED), "two configs with equal fields are not equal",
        because="A dataclass compares by its fields. A plain class compares by identity unless it has __eq__.",
    )  # fmt: skip
    assert_true(
        build(solution, n_embd=20, n_head=4) == build(solution, n_embd=20, n_head=4, n_inner=80), "n_inner=None and the same number given are not equal",
        because="None is filled in at construction, so both hold 4 * n_embd.",
    )  # fmt: skip


@pytest.mark.parametrize("field", ["vocab_size", "n_layer", "resid_pdrop", "initializer_range"])
def test_one_different_field_makes_configs_differ(solution, field):
    other = {**CHANGED, field: CHANGED[field] * 2}
    assert_true(
        build(solution, **CHANGED) != build(solution, **other), f"configs that differ in {field} are equal",
        because="All fields take part in the comparison.",
    )  # fmt: skip


# --- what makes no model is refused --------------------------------------------------------------


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused(solution, field, value):
    with assert_raises(ValueError, f"GPT2Config({field}={value})", naming=[field, value], because="Every size is at least 1; the message names the field and the value."):
        build(solution, **{**CHANGED, field: value})


@pytest.mark.parametrize("field", SIZES)
def test_sizes_of_one_are_accepted(solution, field):
    fields = {**CHANGED, field: 1}
    if field == "n_embd":
        fields["n_head"] = 1
    assert_equal(getattr(build(solution, **fields), field), 1, f"GPT2Config({field}=1).{field}", because="1 is the smallest size that is allowed.")


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [2.0, "12", True], ids=repr)
def test_sizes_that_are_no_int_are_refused(solution, field, value):
    with assert_raises(
        TypeError, f"GPT2Config({field}={value!r})", naming=[field, (value, type(value).__name__)],
        because="A size is an int: 2.0 would fail much later, in view, and \"12\" nowhere good. True is an int to Python (bool is a subclass), so ask for it too.",
    ):  # fmt: skip
        build(solution, **{**CHANGED, field: value})


@pytest.mark.parametrize(("n_embd", "n_head"), [(770, 12), (15, 4), (3, 15)])
def test_a_width_that_the_heads_do_not_divide_is_refused(solution, n_embd, n_head):
    with assert_raises(
        ValueError, f"GPT2Config(n_embd={n_embd}, n_head={n_head})", naming=["n_embd", n_embd],
        because="Every head gets n_embd / n_head channels, so n_embd has to be a multiple of n_head. Raise an exception: print and assert let the mistake through.",
    ):  # fmt: skip
        build(solution, **{**CHANGED, "n_embd": n_embd, "n_head": n_head})


@pytest.mark.parametrize("field", RATES)
@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, float("nan")], ids=repr)
def test_dropout_rates_outside_of_0_to_1_are_refused(solution, field, value):
    with assert_raises(
        ValueError, f"GPT2Config({field}={value})", naming=[field, value],
        because="A rate is a share: 0 <= rate < 1. At 1 everything would be dropped. NaN fails every comparison, so ask `not 0 <= rate < 1`.",
    ):  # fmt: skip
        build(solution, **{**CHANGED, field: value})


@pytest.mark.parametrize("field", RATES)
@pytest.mark.parametrize("value", [0.0, 0, 0.999])
def test_dropout_rates_from_0_up_to_1_are_accepted(solution, field, value):
    assert_equal(getattr(build(solution, **{**CHANGED, field: value}), field), value, f"GPT2Config({field}={value}).{field}", because="0 is allowed: no dropout.")


@pytest.mark.parametrize("field", ["layer_norm_epsilon", "initializer_range"])
@pytest.mark.parametrize("value", [0.0, -1e-5])
def test_epsilon_and_initializer_range_must_be_above_zero(solution, field, value):
    with assert_raises(ValueError, f"GPT2Config({field}={value})", naming=[field, value], because="It has to be above 0; the message names the field and the value."):
        build(solution, **{**CHANGED, field: value})


# --- presets and parameters ----------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_have_the_published_shapes(solution, name):
    n_layer, n_embd, n_head, _ = PRESETS[name]
    config = getattr(build(solution), name)()
    for field, expected in (("n_layer", n_layer), ("n_embd", n_embd), ("n_head", n_head), ("n_inner", 4 * n_embd)):
        assert_equal(getattr(config, field), expected, f"{name}().{field}", because="Layers / width / heads are 12/768/12, 24/1024/16, 36/1280/20 and 48/1600/25.")
    for field in ("vocab_size", "n_positions"):
        assert_equal(getattr(config, field), DEFAULTS[field], f"{name}().{field}", because="All four sizes share vocabulary and context.")


def test_presets_are_called_on_the_class(solution):
    small = solution.GPT2Config.gpt2_small()
    assert_true(
        isinstance(small, solution.GPT2Config), "GPT2Config.gpt2_small() is not a GPT2Config",
        because="A preset is a @classmethod that returns cls(...).",
    )  # fmt: skip
    assert_true(small == build(solution), "GPT2Config.gpt2_small() differs from GPT2Config()", because="The defaults are GPT-2 small's.")


def parts(c):
    """What each part of a model of this shape counts, by name."""
    C, inner = c["n_embd"], c["n_inner"]
    return {
        "wte": c["vocab_size"] * C,
        "wpe": c["n_positions"] * C,
        "attention": c["n_layer"] * (C * 3 * C + 3 * C + C * C + C),
        "feed-forward": c["n_layer"] * (C * inner + inner + inner * C + C),
        "the norms of the blocks": c["n_layer"] * 4 * C,
        "the final norm": 2 * C,
    }


@pytest.mark.parametrize("change", [{}, {"vocab_size": 31}, {"n_positions": 17}, {"n_layer": 5}, {"n_inner": 60}, {"n_embd": 18}, {"n_head": 5}], ids=str)
def test_num_parameters_counts_every_weight_once(solution, change):
    fields = {**CHANGED, **change}
    count, right = build(solution, **fields).num_parameters(), parts(fields)
    total = sum(right.values())
    C, L, inner = fields["n_embd"], fields["n_layer"], fields["n_inner"]
    usual = {
        "the biases of all linear layers": -L * (3 * C + C + inner + C), "the biases of all linear layers and norms": -L * (5 * C + inner + 2 * C) - C,
        "the biases of attention": -L * 4 * C, "the biases of the feed-forward layer": -L * (inner + C), "one norm in each block": -L * 2 * C,
        "the biases of the norms": -(L * 2 * C + C),
    } | {name: -n for name, n in right.items()}  # fmt: skip
    difference = count - total if isinstance(count, int) else None
    says = next((f"It is short by exactly {name}." for name, n in usual.items() if n == difference), "")
    says = says or next((f"It has {name} too many." for name, n in usual.items() if difference and n == -difference), "")
    if difference == right["wte"]:
        says = "The output layer is counted a second time; it is tied to wte, so it counts once."
    elif difference == L * 4 * C * C * 2 - right["feed-forward"] + L * 5 * C:
        says = "The feed-forward layer is counted with 4 * n_embd instead of n_inner."
    assert_equal(
        count, total, f"num_parameters() of a config with {', '.join(f'{k}={v}' for k, v in change.items()) or 'all sizes different'}",
        because=(says + " " if says else "") + "Count wte, wpe, in each block two norms, c_attn, c_proj, c_fc, c_proj with their biases, and ln_f; the number of heads changes nothing.",
    )  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_have_the_published_number_of_parameters(solution, name):
    expected = PRESETS[name][3]
    assert_equal(
        getattr(solution.GPT2Config, name)().num_parameters(), expected, f"{name}().num_parameters()",
        because=f"The published model has {expected:,}, with all biases and the tied output layer counted once.",
    )  # fmt: skip
