"""Problem 17, second part: the model that from_pretrained returns, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size, P n_positions, F n_inner.
"""

from contextlib import suppress

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_parameters,
    assert_same_module,
    assert_shape,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
)
from common.testing.checkpoints import DROPPED, FIELDS, C, F, P, V, as_file, converted, folder

B, T = 2, 7
AXES = {"V": V, "P": P, "C": C, "F": F}
READ = (
    "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner",
    "embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range",
)

TWELVE = "GPT-2 small has layers 0 to 11. As text '9' comes after '11', for max() and sorted() too: int() counts."

# What refuses a model only where it says something else; where it is not there, these hold.
UNSAID = {"tie_word_embeddings": True, "scale_attn_by_inverse_layer_idx": False}


def why_refused(solution, weights, fields):
    """Whether a field that config.json does not have is what a whole folder is refused for."""
    for field, value in UNSAID.items():
        if field not in fields:
            with folder(weights, **{field: value}, **fields) as path, suppress(Exception):
                solution.from_pretrained(path)
                return (
                    f"config.json does not have {field}, and with {str(value).lower()} there this folder is taken. The "
                    f"field is refused where it says {str(not value).lower()}, and only there."
                )
    if fields.get("n_inner", F) in (None, DROPPED):
        return "n_inner may be null or absent: both mean 4 * n_embd, which GPT2Config makes of None."
    says = "config.json and model.safetensors are both there and belong together, and what they hold beside that is to "
    return f"{says}be ignored.{' ' + TWELVE if fields.get('n_layer') == 12 else ''}"


def load(solution, weights=None, **fields):
    """What from_pretrained makes of such a folder, moved to the device under test."""
    with folder(weights, **fields) as path:
        model, refused = None, ""
        try:
            model = solution.from_pretrained(path)
        except ValueError as error:
            refused = str(error).replace(path, "...")
    if refused:
        observe("what is refused", refused)
        fail(
            "from_pretrained refuses a folder that is whole:", expected="a model", got=f"ValueError: {refused}",
            because=why_refused(solution, weights, fields),
        )
    assert_true(
        isinstance(model, nn.Module), f"from_pretrained returns no model but a {type(model).__name__}",
        because="It builds a GPT2Model, loads the weights into it, and returns it.",
    )
    return model.to(draw("device", 1).device)


def assert_loaded(model, expected, because):
    """Check the numbers of all parameters, under both names of the tied one."""
    found = dict(model.named_parameters(remove_duplicate=False))
    observe("all numbers", torch.cat([p.detach().float().flatten().cpu() for p in found.values()]))
    for name, tensor in expected.items():
        if name in found:
            assert_close(found[name].detach().cpu(), tensor, f"`{name}` of the loaded model", because=because)


def test_it_returns_a_model_with_the_files_shapes(solution):
    assert_parameters(
        load(solution), {name: tuple(tensor.shape) for name, tensor in converted().items()}, "the loaded model",
        because="Its sizes are those of config.json, its names those of problem 10.",
    )


def test_the_model_is_in_eval_mode(solution):
    modes = sorted({"train" if part.training else "eval" for part in load(solution).modules()})
    assert_equal(
        modes, ["eval"], "the list of modes in which the loaded model and its parts are",
        because="A new module is in train mode, where dropout makes every answer another one: return model.eval().",
    )


def test_the_config_is_read_from_config_json(solution):
    config = getattr(load(solution), "config", None)
    found = {field: getattr(config, field) for field in READ if hasattr(config, field)}
    observe("the fields as numbers", torch.tensor([float(value) for value in found.values()]))
    for field, value in found.items():
        assert_equal(
            value, FIELDS[field], f"model.config.{field}",
            because=f'config.json says "{field}": {FIELDS[field]}, and each field counts under its own name.',
        )


def test_every_parameter_holds_the_files_numbers(solution):
    assert_loaded(
        load(solution), converted(), "The model's parameters hold what convert_hf_state_dict makes of the file."
    )


def test_an_old_file_with_masks_and_without_prefix_gives_the_same(solution):
    assert_loaded(
        load(solution, as_file(masks=True, head=True)), converted(),
        "A file without the prefix, with masks and with a head holds the same model.",
    )


def test_a_model_of_twelve_layers_is_loaded(solution):
    assert_loaded(
        load(solution, as_file(layers=12), n_layer=12), converted(12),
        TWELVE,
    )


def test_the_head_is_still_tied_after_loading(solution):
    model = load(solution)
    assert_true(
        model.lm_head.weight is model.wte.weight, "lm_head.weight and wte.weight are two parameters after loading",
        because="In problem 10 they are one, and loading copies numbers into it. What puts a new tensor in its place, "
        "such as load_state_dict(..., assign=True), to_empty() or a new nn.Parameter, ends that.",
    )


def test_each_call_gives_a_model_of_its_own(solution):
    with folder() as path:
        first, second = solution.from_pretrained(path), solution.from_pretrained(path)
    with torch.no_grad():
        for p in first.parameters():
            p.zero_()
    assert_loaded(
        second, converted(), "Two models were loaded from one folder, and the first was set to 0, which the second "
        "must not notice: each call reads the files and builds a model.",
    )


def test_the_logits_equal_the_references_step_by_step(solution, reference):
    ids = draw_ids("ids", B, T, vocab_size=V)
    with torch.no_grad():
        assert_same_module(
            load(solution), load(reference), ids, what="the logits of the loaded model",
            because="A model is its parameters and what no shape shows: n_head and layer_norm_epsilon, which come from "
            "config.json too.",
        )


def test_rates_of_zero_in_config_json_drop_nothing(solution):
    model, ids = load(solution, embd_pdrop=0.0, attn_pdrop=0, resid_pdrop=0.0), draw_ids("ids", B, T, vocab_size=V)
    with torch.no_grad():
        quiet, trained = model.eval()(ids), model.train()(ids)
    assert_close(
        trained, quiet, "the logits in train mode with all three rates 0 in config.json", record=False,
        because="The three dropout rates are config.json's; GPT2Config's own are 0.1.",
    )


@pytest.mark.parametrize("n_inner", [None, DROPPED], ids=["null", "absent"])
def test_n_inner_may_be_null_or_absent(solution, n_inner):
    model = load(solution, as_file(n_inner=4 * C), n_inner=n_inner)
    assert_shape(
        model.h[0].mlp.c_fc.weight, (4 * C, C), "`h.0.mlp.c_fc.weight` when config.json gives no n_inner",
        because="null or absent means 4 * n_embd, as in all published GPT-2s.",
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_files_load_as_float32(solution, dtype):
    model, kind = load(solution, as_file(dtype=dtype)), str(dtype).removeprefix("torch.")
    assert_equal(
        sorted({str(p.dtype) for p in model.parameters()}), ["torch.float32"],
        f"the list of dtypes in a model loaded from a {kind} file",
        because="A small dtype saves disk, and the model computes in float32: load_state_dict converts as it copies "
        "into the model's parameters, and with assign=True it copies nothing and puts the file's tensors there. "
        "Nor does the model take the file's dtype, by .to(...) or .half().",
    )
    rounded = {name: tensor.to(dtype).float() for name, tensor in converted().items()}
    assert_loaded(model, rounded, f"The numbers are those of the {kind} file.")
