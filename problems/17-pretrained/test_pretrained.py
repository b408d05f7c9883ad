"""Problem 17: what convert_hf_state_dict and from_pretrained promise, from cause to consequence.

The weights are drawn here and written as Hugging Face writes them; nothing touches a network.
Shapes: B batch, T tokens, C n_embd, V vocab_size, P n_positions, F n_inner.
"""

import io
import json
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_parameters,
    assert_raises,
    assert_same_module,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
)

V, P, C, F, LAYERS, HEADS = 29, 11, 24, 41, 2, 3
B, T = 2, 7
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# As published: the fields that matter, and some of those that do not.
FIELDS = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.2, "bos_token_id": 28, "embd_pdrop": 0.1,
    "eos_token_id": 28, "initializer_range": 0.05, "layer_norm_epsilon": 0.03, "model_type": "gpt2", "n_ctx": P + 2, "n_embd": C, "n_head": HEADS,
    "n_inner": F, "n_layer": LAYERS, "n_positions": P, "resid_pdrop": 0.3, "summary_type": "cls_index",
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": V,
}  # fmt: skip


# --- checkpoints ---------------------------------------------------------------------------------


def shapes(layers=LAYERS, *, V=V, P=P, C=C, F=F):
    """The published names and shapes; Conv1D keeps its weights as (in, out)."""
    block = {
        "ln_1.weight": (C,), "ln_1.bias": (C,), "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,),
        "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,), "ln_2.weight": (C,), "ln_2.bias": (C,),
        "mlp.c_fc.weight": (C, F), "mlp.c_fc.bias": (F,), "mlp.c_proj.weight": (F, C), "mlp.c_proj.bias": (C,),
    }  # fmt: skip
    named = {"wte.weight": (V, C), "wpe.weight": (P, C)}
    named |= {f"h.{i}.{name}": shape for i in range(layers) for name, shape in block.items()}
    return named | {"ln_f.weight": (C,), "ln_f.bias": (C,)}


def conv1d(name):
    return name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))


@cache
def drawn(layers, **sizes):
    """A tensor for every published name, which follows from its name and shape."""
    state = {}
    for name, shape in shapes(layers, **sizes).items():
        noise = draw(name, *shape).cpu()
        state[name] = 0.5 * noise if name.endswith("bias") else 1 + 0.4 * noise if len(shape) == 1 else 1.5 * noise / C**0.5
    return state


def published(layers=LAYERS, *, prefix="", masks=False, head=False, **sizes):
    """A state dict as it lies in a file, made afresh: whoever gets it may spoil it."""
    state = {prefix + name: tensor.clone() for name, tensor in drawn(layers, **sizes).items()}
    if masks:
        for i in range(layers):
            state[f"{prefix}h.{i}.attn.bias"] = torch.ones(P, P).tril().view(1, 1, P, P)
            state[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    if head:
        state["lm_head.weight"] = state[prefix + "wte.weight"].clone()
    return state


@cache
def wanted(layers=LAYERS):
    """What GPT2Model's state dict must hold for `published`."""
    state = {name: tensor.T.contiguous() if conv1d(name) else tensor for name, tensor in drawn(layers).items()}
    return state | {"lm_head.weight": state["wte.weight"]}


@cache
def as_file(**choice):
    dtype = choice.pop("dtype", torch.float32)
    return save({name: tensor.to(dtype) for name, tensor in published(**choice).items()}, {"format": "pt"})


@cache
def as_pickle():
    torch.save(published(), content := io.BytesIO())
    return content.getvalue()


DROPPED = object()


@contextmanager
def folder(weights=None, name="model", files=None, /, **fields):
    """A folder in Hugging Face's format; keywords change fields of config.json.

    Args:
        weights: the bytes of model.safetensors, or a state dict for it.
        files: further files, or other contents; None leaves a file out.
    """
    weights = as_file(prefix="transformer.") if weights is None else weights if isinstance(weights, bytes) else save(weights)
    chosen = {key: value for key, value in {**FIELDS, **fields}.items() if value is not DROPPED}
    contents = {CONFIG: json.dumps(chosen, indent=2).encode(), WEIGHTS: weights, **(files or {})}
    with tempfile.TemporaryDirectory(prefix="gpt2-") as above:
        path = Path(above, name)
        path.mkdir(parents=True)
        for file, content in contents.items():
            if content is not None:
                path.joinpath(file).write_bytes(content)
        try:
            yield str(path)
        except Exception as error:  # the name of this folder differs from run to run
            error.args = tuple(arg.replace(above, "...") if isinstance(arg, str) else arg for arg in error.args)
            if isinstance(error, OSError) and isinstance(error.filename, str):
                error.filename = error.filename.replace(above, "...")
            raise


def load(solution, *folder_of, **fields):
    """What from_pretrained makes of such a folder, moved to the device under test."""
    with folder(*folder_of, **fields) as path:
        model = solution.from_pretrained(path)
    if not isinstance(model, nn.Module):
        observe("from_pretrained returns", type(model).__name__)
        fail("from_pretrained does not return a model:", expected="a GPT2Model", got=type(model).__name__, because="Build GPT2Model(config), load the weights into it, and return it.")
    return model.to(draw("d", 1).device)


def refuses(solution, which, because, *folder_of, **fields):
    """Check that from_pretrained refuses such a folder, by whatever exception."""
    with folder(*folder_of, **fields) as path, assert_raises(Exception, f"from_pretrained of a folder {which}", because=because):
        solution.from_pretrained(path)


# --- convert_hf_state_dict: names ----------------------------------------------------------------


def convert(solution, state):
    """The learner's converted dict, with every name of the contract in it and no other."""
    result = solution.convert_hf_state_dict(state)
    if not hasattr(result, "keys"):
        observe("convert_hf_state_dict returns", type(result).__name__)
        fail("convert_hf_state_dict does not return a state dict:", expected="a dict of names and tensors", got=type(result).__name__, because="Build a new dict, and return it.")
    return result


def assert_names(result, given):
    names = ["lm_head.weight", *shapes(1 + max(int(name.split(".")[1]) for name in wanted_names(given) if name.startswith("h.")))]
    missing, extra = [n for n in names if n not in result], [n for n in result if n not in names]
    observe("names that are missing", sorted(missing))
    observe("names that are too many", sorted(extra))
    if missing:
        name = missing[0]
        if name == "lm_head.weight":
            says = "The head is tied to the token embedding, so files leave it out; GPT2Model's state dict has it under both names. Put wte.weight in a second time."
        elif name.endswith("c_attn.bias"):
            says = 'The name ends with "attn.bias" but is no mask: only `h.N.attn.bias` and `h.N.attn.masked_bias` are. Compare the whole name.'
        elif any(n.startswith("transformer.") for n in extra):
            says = "The prefix `transformer.` is still there: GPT2Model's own names have none."
        else:
            says = "Every name of GPT2Model's state dict must be in the result."
        fail(f"the converted dict has no `{name}`:", expected=f"{len(names)} names", got=f"{len(missing)} of them are missing", because=says)
    if extra:
        mask = extra[0].endswith((".attn.bias", ".masked_bias"))
        says = "Old files hold the causal mask, which nobody learned: leave `h.N.attn.bias` and `h.N.attn.masked_bias` out." if mask else "GPT2Model has no such name, and load_state_dict would refuse it."
        fail(f"the converted dict has a name too many, `{extra[0]}`:", expected=f"{len(names)} names", got=f"{len(result)}", because=says)


def wanted_names(given):
    return [name.removeprefix("transformer.") for name in given]


def test_names_without_a_prefix_are_kept(solution):
    given = published()
    assert_names(convert(solution, dict(given)), given)


def test_the_prefix_is_taken_off(solution):
    given = published(prefix="transformer.")
    assert_names(convert(solution, dict(given)), given)


def test_old_mask_buffers_are_left_out_and_biases_are_not(solution):
    for prefix in ("", "transformer."):
        given = published(prefix=prefix, masks=True)
        assert_names(convert(solution, dict(given)), given)


# --- convert_hf_state_dict: values ---------------------------------------------------------------


def test_conv1d_weights_get_the_shape_of_a_linear_and_others_keep_theirs(solution):
    result = convert(solution, published())
    for name, tensor in wanted().items():
        if name not in result:
            continue
        if conv1d(name):
            says = "Hugging Face keeps this weight in a Conv1D, as (in, out); nn.Linear wants (out, in): transpose it."
        elif name in ("wte.weight", "wpe.weight", "lm_head.weight"):
            says = "Embeddings lie in the file as nn.Embedding keeps them, a row a token; only the four Conv1D weights of a block are transposed."
        else:
            says = "Only the four Conv1D weights of a block change their shape."
        assert_shape(result[name], tensor.shape, f"`{name}`", because=says)


def test_a_square_weight_is_transposed_too(solution):
    name = "h.0.attn.c_proj.weight"
    given = published()
    result = assert_tensor(convert(solution, dict(given)).get(name, given[name].T), f"`{name}`")
    same = result.shape == given[name].shape and bool((result == given[name]).all())
    observe("the square weight is as in the file", same)
    assert_true(
        not same, f"`{name}` is as it was in the file",
        because="It is (C, C), so no shape complains, but it lies in a Conv1D like the other three: transpose it, or every logit is wrong.",
    )  # fmt: skip


def assert_values(result, expected):
    """Check the tensors under the expected names; that the names are there is for other checks to say."""
    shared = [name for name in expected if name in result]
    found = {name: assert_tensor(result[name], f"`{name}`").detach().cpu() for name in shared}
    observe("all numbers", torch.cat([torch.zeros(0), *(found[name].float().flatten() for name in shared)]))
    for name in shared:
        if same(found[name], expected[name]):
            continue
        says = "The numbers are those of the file, each under its own name: nothing is scaled, reordered or rounded."
        twin = next((other for other in shared if other != name and same(found[name], expected[other])), None)
        if twin:
            says = f"These are the numbers of `{twin}`: two names are mixed up. Go by the whole name, and by the number in it as a number."
        elif name.endswith("attn.c_attn.weight") and any(same(torch.cat([thirds(found[name])[i] for i in order]), expected[name]) for order in permutations(range(3))):
            says = "The three thirds are in another order than in the file: query, key, value, there as in your model. Transpose the whole, and nothing more."
        elif conv1d(name) and Counter(found[name].flatten().tolist()) == Counter(expected[name].flatten().tolist()):
            says = "The right numbers in the wrong places: reshape and view only cut the memory anew. A transpose, .T, swaps rows and columns."
        assert_close(found[name], expected[name], f"`{name}`", because=says)


def thirds(tensor):
    return tensor.tensor_split(3)


def same(a, b):
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), atol=1e-6)


def test_every_name_gets_its_own_numbers(solution):
    assert_values(convert(solution, published()), wanted())


def test_old_and_new_files_give_the_same(solution):
    assert_values(convert(solution, published(prefix="transformer.", masks=True)), wanted())


def test_layers_10_and_up_keep_their_numbers(solution):
    given = published(11)
    try:
        result = convert(solution, dict(sorted(given.items(), reverse=True)))
    except ValueError as error:
        observe("eleven layers", "refused")
        because = "From layer 10 on the number has two digits: take all that stands between the dots, key.split(\".\")[1], and compare it as an int."
        fail("convert_hf_state_dict refuses a model of eleven layers:", expected="a converted dict", got=repr(str(error)), because=because)
    assert_names(result, given)
    assert_values(result, wanted(11))


def test_a_head_that_equals_wte_is_fine(solution):
    for prefix in ("", "transformer."):
        given = published(prefix=prefix, head=True)
        result = convert(solution, given)
        assert_names(result, published())
        assert_values(result, wanted())


def test_the_given_dict_and_its_tensors_stay_as_they_are(solution):
    given = published(prefix="transformer.", masks=True, head=True)
    before, tensors = {name: tensor.clone() for name, tensor in given.items()}, dict(given)
    solution.convert_hf_state_dict(given)
    assert_equal(
        sorted(set(before) ^ set(given)), [], "the list of keys that came to or went from the dict you were given",
        because="The caller's dict was changed: build a new one, or copy it first with dict(state_dict).",
    )  # fmt: skip
    for name, old in before.items():
        assert_true(given[name] is tensors[name], f"the dict you were given has another tensor under `{name}`", because="Put what you make into a dict of your own.")
        because = "A tensor of the caller's was changed in place, as t_() and transpose_() do: .T gives a view and leaves it alone."
        assert_shape(given[name], old.shape, f"the caller's own `{name}`", because=because)
        assert_identical(given[name], old, f"the caller's own `{name}`", because=because)


# --- convert_hf_state_dict: what it refuses ------------------------------------------------------


def convert_refuses(solution, state, what, naming, because):
    with assert_raises(ValueError, f"convert_hf_state_dict of {what}", naming=[naming] if naming else [], because=because):
        solution.convert_hf_state_dict(state)


@pytest.mark.parametrize("key", ["score.weight", "h.0.attn.q_proj.weight", "h.1.mlp.bias", "transformer.h.0.ln_3.weight", "ln_f.running_mean"])
def test_an_unknown_key_is_refused(solution, key):
    convert_refuses(
        solution, published() | {key: torch.zeros(C)}, f"a dict with `{key}` in it", key.removeprefix("transformer."),
        because="A key that GPT-2 does not have means another model's file. Left out in silence, it would give nonsense later: raise a ValueError that names it.",
    )  # fmt: skip


def test_every_missing_key_is_refused(solution):
    given = published()
    for key in given:
        convert_refuses(
            solution, {name: tensor for name, tensor in given.items() if name != key}, f"a dict without `{key}`", key,
            because="A weight that is not in the file would keep its random value: compare with the list of all names, and raise a ValueError that names what is missing.",
        )  # fmt: skip


def test_an_empty_dict_is_refused(solution):
    convert_refuses(solution, {}, "an empty dict", None, because="Every key is missing: a ValueError.")


def test_a_gap_in_the_layers_is_refused(solution):
    given = {name: tensor for name, tensor in published(3).items() if not name.startswith("h.1.")}
    convert_refuses(
        solution, given, "a dict with layers 0 and 2 but no layer 1", "h.1.",
        because="Layers are numbered 0 to n - 1 without gaps: the highest number says how many there must be. Counting the numbers, or walking along those that are there, hides it.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "shape"),
    [("wpe.weight", (P, C + 1)), ("h.1.ln_1.bias", (C - 1,)), ("h.1.attn.c_attn.bias", (C,)), ("h.0.attn.c_proj.weight", (C, C + 1)), ("h.1.mlp.c_proj.weight", (F + 1, C)), ("ln_f.bias", (2 * C,))],
)
def test_a_shape_that_does_not_fit_the_others_is_refused(solution, key, shape):
    refuses(
        solution, f"whose file has `{key}` in shape {shape}, with C = {C},", "wte.weight is (V, C), and every other shape of GPT-2 follows from C and n_inner. load_state_dict compares them; strict=False and copying by hand do not.", published() | {key: torch.zeros(shape)},
    )  # fmt: skip


def test_weights_that_are_transposed_already_are_refused(solution):
    given = published()
    given["h.0.attn.c_attn.weight"] = given["h.0.attn.c_attn.weight"].T.contiguous()
    refuses(
        solution, "whose file has `h.0.attn.c_attn.weight` as (3C, C)", "The published weight is (C, 3C). One that is not cannot be from Hugging Face's GPT-2, and transposing by guess would let a wrong file pass.", given,
    )  # fmt: skip


# --- from_pretrained: the model ------------------------------------------------------------------


def test_it_returns_a_model_with_the_files_shapes(solution):
    expected = {name: tuple(tensor.shape) for name, tensor in wanted().items()}
    assert_parameters(load(solution), expected, "the loaded model", because="Its sizes are those of config.json, its names those of problem 10.")


def test_the_model_is_in_eval_mode(solution):
    model = load(solution)
    training = [name or "the model" for name, part in model.named_modules() if part.training]
    observe("in train mode", bool(training))
    assert_true(
        not training, "the loaded model is in train mode",
        because="A new module is in train mode, where dropout makes every answer another one: return model.eval().",
    )  # fmt: skip


def test_the_config_is_read_from_config_json(solution):
    config = getattr(load(solution), "config", None)
    for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range"):
        if hasattr(config, name):
            assert_equal(
                getattr(config, name), FIELDS[name], f"model.config.{name}",
                because=f"config.json says \"{name}\": {FIELDS[name]}. Hand every field on to GPT2Config under its own name; the defaults are GPT-2 small's.",
            )  # fmt: skip


def test_every_parameter_holds_the_files_numbers(solution):
    assert_values(dict(load(solution).named_parameters(remove_duplicate=False)), wanted())


def test_an_old_file_with_masks_and_without_prefix_gives_the_same(solution):
    model = load(solution, as_file(masks=True, head=True))
    assert_values(dict(model.named_parameters(remove_duplicate=False)), wanted())


def test_the_head_is_still_tied_after_loading(solution):
    model = load(solution)
    assert_true(
        model.lm_head.weight is model.wte.weight, "lm_head.weight and wte.weight are two parameters after loading",
        because="load_state_dict(..., assign=True) and setattr put new tensors in place of the tied one. Copy into it, as load_state_dict does, or tie again.",
    )  # fmt: skip


def test_the_logits_equal_the_references_step_by_step(solution, reference):
    ids = draw_ids("ids", B, T, vocab_size=V)
    with torch.no_grad():
        assert_same_module(load(solution), load(reference), ids, what="the logits of the loaded model", because="All parameters are right, so it is what surrounds them: n_head and layer_norm_epsilon come from config.json.")


def test_rates_of_zero_in_config_json_drop_nothing(solution):
    model = load(solution, embd_pdrop=0.0, attn_pdrop=0, resid_pdrop=0.0)
    ids = draw_ids("ids", B, T, vocab_size=V)
    with torch.no_grad():
        quiet, trained = model(ids), model.train()(ids)
    assert_close(trained, quiet, "the logits in train mode with all three rates 0 in config.json", record=False, because="Dropout rates are read from config.json too; GPT2Config's defaults are 0.1.")


@pytest.mark.parametrize("n_inner", [None, DROPPED], ids=["null", "absent"])
def test_n_inner_may_be_null_or_absent(solution, n_inner):
    model = load(solution, as_file(F=4 * C), n_inner=n_inner)
    assert_shape(model.h[0].mlp.c_fc.weight, (4 * C, C), "`h.0.mlp.c_fc.weight` when config.json gives no n_inner", because="null or absent means 4 * n_embd, as in all published GPT-2s.")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_files_load_as_float32(solution, dtype):
    model = load(solution, as_file(dtype=dtype))
    types = sorted({str(p.dtype) for p in model.parameters()})
    assert_equal(types, ["torch.float32"], f"the list of dtypes in a model loaded from a {str(dtype).removeprefix('torch.')} file", because="The file's dtype saves disk; the model computes in float32. load_state_dict copies into the parameters that are there, unless assign=True.")
    assert_values(dict(model.named_parameters(remove_duplicate=False)), {name: tensor.to(dtype).float() for name, tensor in wanted().items()})


# --- from_pretrained: files that are missing or damaged ------------------------------------------


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(solution, file):
    refuses(solution, f"without {file}", "Look for both files before opening one, and raise a ValueError that names what is missing and the folder.", None, "model", {file: None})


@pytest.mark.parametrize("which", ["cut off in the middle", "cut off in its header", "empty", "a web page"])
def test_damaged_weights_are_refused(solution, which):
    whole = as_file(prefix="transformer.")
    content = {"cut off in the middle": whole[: len(whole) // 2], "cut off in its header": whole[:50], "empty": b"", "a web page": b"<!DOCTYPE html><html><body>404: Not Found</body></html>"}[which]
    refuses(solution, f"in which model.safetensors is {which}", "safetensors raises a SafetensorError of its own, which names no file: catch it, and raise a ValueError that says which file to fetch again.", content)


@pytest.mark.parametrize(
    ("which", "content"),
    [("cut off", b'{"model_type": "gpt2", "n_embd": 24,'), ("empty", b""), ("not UTF-8", b'{"model_type": "\xff\xfe"}'), ("a list", b"[1, 2]")],
    ids=["cut", "empty", "bytes", "list"],
)
def test_a_damaged_config_is_refused(solution, which, content):
    refuses(solution, f"in which config.json is {which}", "json's own error names no file: catch it, and raise a ValueError with the file's name. The file must hold one {...} with fields.", None, "model", {CONFIG: content})


# --- from_pretrained: a config that does not fit -------------------------------------------------


@pytest.mark.parametrize("field", ["n_layer", "n_embd", "n_positions", "vocab_size"])
def test_a_missing_size_is_refused(solution, field):
    refuses(solution, f"whose config.json has no {field}", f"GPT2Config's default is GPT-2 small's, which is not this model's: say that {field} is missing. A wrong n_head fits every shape and makes every logit wrong.", **{field: DROPPED})


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_head", "3"), ("n_embd", None), ("n_layer", [3]), ("n_inner", "41"), ("layer_norm_epsilon", "0.03"), ("attn_pdrop", None)],
)
def test_a_field_of_a_wrong_type_is_refused(solution, field, value):
    refuses(solution, f"whose config.json says \"{field}\": {json.dumps(value)}", "Sizes are ints, rates and epsilon numbers: a ValueError that names the field, whatever GPT2Config makes of it.", **{field: value})


@pytest.mark.parametrize(("field", "value"), [("n_head", 5), ("resid_pdrop", 1.5), ("layer_norm_epsilon", 0)])
def test_a_value_that_cannot_be_is_refused(solution, field, value):
    refuses(solution, f"whose config.json says \"{field}\": {value}", "GPT2Config refuses it; do not mend the value on the way.", **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_positions", P + 1), ("n_positions", P - 1), ("vocab_size", V + 1), ("vocab_size", V - 1), ("n_embd", 2 * C), ("n_inner", F + 1), ("n_layer", LAYERS + 1), ("n_layer", LAYERS - 1)],
    ids=["more_positions", "fewer_positions", "more_tokens", "fewer_tokens", "n_embd", "n_inner", "more_layers", "fewer_layers"],
)  # fmt: skip
def test_a_config_that_disagrees_with_the_weights_is_refused(solution, field, value):
    says = "load_state_dict raises a RuntimeError with a list of all that differs, or nothing at all with strict=False, and cutting a tensor to size hides it: compare the sizes first, and raise a ValueError that names the field or the key."
    refuses(solution, f"whose config.json says {field} {value} where the weights have {FIELDS[field]}", says, **{field: value})


@pytest.mark.parametrize("which", ["an unknown key", "a missing key"])
def test_a_file_with_other_keys_is_refused(solution, which):
    state = published(prefix="transformer.")
    if which == "an unknown key":
        key, state["score.weight"] = "score.weight", torch.zeros(2, C)
    else:
        key = "h.1.mlp.c_fc.bias"
        del state[f"transformer.{key}"]
    refuses(solution, f"whose file has {which}, {key},", "convert_hf_state_dict says so with a ValueError: let it through, and do not load with strict=False.", state)


# --- from_pretrained: a name on the hub ----------------------------------------------------------

NAME = "someone/tiny-gpt2"


@contextmanager
def hub(solution, *, cached=False, online=False):
    """Hugging Face's hub without a network; the list that it yields gets what is asked for.

    hf_hub_download is replaced wherever the solution may hold it. A cache in the hub's own layout, and offline
    mode, answer those who come another way.
    """
    import huggingface_hub
    from huggingface_hub import constants

    commit, asked = "0" * 40, []
    with folder(None, f"models--{NAME.replace('/', '--')}/snapshots/{commit}") as path:
        snapshot, cache_folder = Path(path), Path(path).parents[2]
        refs = snapshot.parents[1] / "refs"
        refs.mkdir()
        refs.joinpath("main").write_text(commit if cached else "")

        def hf_hub_download(repo_id, filename, *args, local_files_only=False, **kwargs):
            asked.append((filename, local_files_only))
            if repo_id == NAME and (cached or (online and not local_files_only)) and (snapshot / filename).is_file():
                return str(snapshot / filename)
            from huggingface_hub.errors import LocalEntryNotFoundError

            raise LocalEntryNotFoundError(f"cannot find {filename} of {repo_id}")

        # The package imports hf_hub_download when it is first asked for it, which takes longer than all else here.
        module = sys.modules.get("huggingface_hub.file_download")
        spaces = [vars(huggingface_hub), vars(solution.__dict__["_module"])] + ([vars(module)] if module else [])
        puts = [(vars(constants), "HF_HUB_OFFLINE", True), (vars(constants), "HF_HUB_CACHE", str(cache_folder if cached else cache_folder / "none"))]
        puts += [(space, key, hf_hub_download) for space in spaces for key, value in space.items() if module and value is module.hf_hub_download]
        puts += [(vars(huggingface_hub), "hf_hub_download", hf_hub_download)]
        before = [(space, key, space.get(key)) for space, key, _ in puts]
        for space, key, value in puts:
            space[key] = value
        try:
            yield asked
        finally:
            for space, key, value in before:
                space[key] = value
            if huggingface_hub.hf_hub_download is None:
                del huggingface_hub.hf_hub_download


def test_a_name_that_was_fetched_before_loads_from_the_hubs_cache(solution):
    with hub(solution, cached=True) as asked:
        model = solution.from_pretrained(NAME)
    others = sorted({file for file, _ in asked} - {CONFIG, WEIGHTS})
    assert_equal(others, [], "the list of files asked for beside config.json and model.safetensors", because="These two hold all that the model needs.")
    assert_values(dict(model.named_parameters(remove_duplicate=False)), wanted())


def test_a_name_that_was_not_is_downloaded(solution):
    with hub(solution, online=True) as asked:
        try:
            model = solution.from_pretrained(NAME)
        except ValueError as error:
            if asked and all(local for _, local in asked):
                observe("the network", "never asked")
                because = "With local_files_only=True the hub's cache is all that is looked at. When a file is not there, ask again without."
                fail("a name that is not in the hub's cache yet is refused:", expected="a download", got=repr(str(error)), because=because)
            if not asked:  # the solution asks the hub in a way that the stand-in above does not see
                return
            raise
    assert_shape(model.wte.weight, (V, C), "`wte.weight` of the downloaded model")


def test_a_name_that_nobody_knows_is_refused(solution):
    because = "Offline, or with a mistyped path, the hub's own errors say nothing about folders: catch them, and raise a ValueError that names the two files and says to put them into a folder."
    for name in ("no-such-folder", "/no/such/folder"):
        with hub(solution), assert_raises(Exception, f'from_pretrained("{name}") offline', because=because):
            solution.from_pretrained(name)
