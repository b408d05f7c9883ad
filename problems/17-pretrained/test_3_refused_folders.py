"""Problem 17, third part: the folders that from_pretrained refuses, and names on the hub.

Shapes: C n_embd, V vocab_size, P n_positions, F n_inner.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from common.testing import assert_close, assert_equal, assert_raises, assert_shape, fail, observe
from common.testing.checkpoints import (
    CONFIG,
    DROPPED,
    FIELDS,
    LAYERS,
    WEIGHTS,
    C,
    F,
    P,
    V,
    as_file,
    converted,
    folder,
    published,
)

AXES = {"V": V, "P": P, "C": C, "F": F}


def refuses(solution, which, because, weights=None, files=None, **fields):
    """Check that from_pretrained refuses such a folder, by whatever exception."""
    call = f"from_pretrained of a folder {which}"
    with folder(weights, files, **fields) as path, assert_raises(Exception, call, because=because):
        solution.from_pretrained(path)


# --- files that are missing or damaged -----------------------------------------------------------


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_a_missing_file_is_refused(solution, file):
    refuses(
        solution, f"without {file}", "Both files must be there: a ValueError names what is missing, and the folder.",
        files={file: None},
    )


@pytest.mark.parametrize("which", ["cut off in the middle", "cut off in its header", "empty", "a web page"])
def test_damaged_weights_are_refused(solution, which):
    whole = as_file(prefix="transformer.")
    content = {
        "cut off in the middle": whole[: len(whole) // 2], "cut off in its header": whole[:50], "empty": b"",
        "a web page": b"<!DOCTYPE html><html><body>404: Not Found</body></html>",
    }
    refuses(
        solution, f"in which {WEIGHTS} is {which}",
        "safetensors raises an error of its own, which names no file: a ValueError says which one to fetch again.",
        content[which],
    )


@pytest.mark.parametrize(
    ("which", "content"),
    [
        ("cut off", b'{"model_type": "gpt2", "n_embd": 24,'), ("empty", b""),
        ("not UTF-8", b'{"model_type": "\xff\xfe"}'), ("a list", b"[1, 2]"),
    ],
    ids=["cut", "empty", "bytes", "list"],
)
def test_a_damaged_config_is_refused(solution, which, content):
    refuses(
        solution, f"in which {CONFIG} is {which}",
        "The file holds one {...} with fields; json's own error names no file, so a ValueError does.",
        files={CONFIG: content},
    )


# --- fields that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize("field", ["n_layer", "n_embd", "n_positions", "vocab_size"])
def test_a_missing_size_is_refused(solution, field):
    refuses(
        solution, f"whose {CONFIG} has no {field}",
        f"GPT2Config's default is GPT-2 small's, which is not this model's: a ValueError says that {field} is missing.",
        **{field: DROPPED},
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_head", "3"), ("n_embd", None), ("n_layer", [3]), ("n_inner", "41"), ("layer_norm_epsilon", "0.03"),
        ("attn_pdrop", None),
    ],
)
def test_a_field_of_a_wrong_type_is_refused(solution, field, value):
    refuses(
        solution, f'whose {CONFIG} says "{field}": {json.dumps(value)}',
        "Sizes are ints, rates and epsilon numbers: a ValueError names a field that is neither.", **{field: value},
    )


@pytest.mark.parametrize(("field", "value"), [("n_head", 5), ("resid_pdrop", 1.5), ("layer_norm_epsilon", 0)])
def test_a_value_that_cannot_be_is_refused(solution, field, value):
    refuses(
        solution, f'whose {CONFIG} says "{field}": {value}',
        "GPT2Config refuses this value: it reaches GPT2Config as it is, and the error comes through.",
        **{field: value},
    )


# --- weights that do not fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("wpe.weight", (P, C + 1)), ("h.1.ln_1.bias", (C - 1,)), ("h.1.attn.c_attn.bias", (C,)),
        ("h.0.attn.c_proj.weight", (C, C + 1)), ("h.1.mlp.c_proj.weight", (F + 1, C)), ("ln_f.bias", (2 * C,)),
        ("h.0.ln_2.weight", (1,)), ("wpe.weight", (1, C)),
    ],
)
def test_a_shape_that_does_not_fit_the_others_is_refused(solution, key, shape):
    refuses(
        solution, f"whose file has `{key}` in shape {shape}, with C = {C},",
        "The config says which shape each weight has, and a model in which one has another is not this one. "
        "load_state_dict compares them, strict or not; copying by hand does not.",
        published() | {key: torch.zeros(shape)},
    )


@pytest.mark.parametrize("prefix", ["", "transformer."], ids=["old", "new"])
def test_a_head_of_its_own_is_refused(solution, prefix):
    given = published(head=True)
    head = given[f"{prefix}lm_head.weight"] = given.pop("lm_head.weight").clone()
    head[1, 2] += 0.5
    refuses(
        solution, f"whose file has an `{prefix}lm_head.weight` that differs from `wte.weight` in one number",
        "GPT-2's head is the token table itself. A file with another head holds another model, and to drop that head "
        "without a word would give wrong logits: all of its numbers have to be those of wte.", given,
    )


def test_weights_that_are_transposed_already_are_refused(solution):
    given = published()
    given["h.0.attn.c_attn.weight"] = given["h.0.attn.c_attn.weight"].T.contiguous()
    refuses(
        solution, "whose file has `h.0.attn.c_attn.weight` as (3C, C)",
        "The published weight is (C, 3C). One that is not cannot be from Hugging Face's GPT-2, and transposing by "
        "guess would let a wrong file pass.", given,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_positions", P + 1), ("n_positions", P - 1), ("vocab_size", V + 1), ("vocab_size", V - 1),
        ("n_embd", 2 * C), ("n_inner", F + 1), ("n_layer", LAYERS + 1), ("n_layer", LAYERS - 1),
    ],
    ids=[
        "more_positions", "fewer_positions", "more_tokens", "fewer_tokens", "n_embd", "n_inner", "more_layers",
        "fewer_layers",
    ],
)
def test_a_config_that_disagrees_with_the_weights_is_refused(solution, field, value):
    refuses(
        solution, f"whose {CONFIG} says {field} {value} where the weights have {FIELDS[field]}",
        "One of the two files is another model's: a ValueError names the field or the key. A tensor cut to size, or "
        "strict=False, would hide it.", **{field: value},
    )


@pytest.mark.parametrize("which", ["an unknown key", "a missing key"])
def test_a_file_with_other_keys_is_refused(solution, which):
    state, key = published(prefix="transformer."), "h.1.mlp.c_fc.bias"
    if which == "an unknown key":
        key, state["score.weight"] = "score.weight", torch.zeros(2, C)
    else:
        del state[f"transformer.{key}"]
    refuses(
        solution, f"whose file has {which}, {key},",
        "What convert_hf_state_dict refuses is refused here too: its ValueError comes through.", state,
    )


# --- a name on the hub ---------------------------------------------------------------------------

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
    with folder(name=f"models--{NAME.replace('/', '--')}/snapshots/{commit}") as path:
        snapshot, cache_folder = Path(path), Path(path).parents[2]
        refs = snapshot.parents[1] / "refs"
        refs.mkdir()
        refs.joinpath("main").write_text(commit if cached else "")

        def hf_hub_download(repo_id, filename, *args, local_files_only=False, **kwargs):
            asked.append((filename, local_files_only))
            there = repo_id == NAME and (cached or (online and not local_files_only))
            if there and (snapshot / filename).is_file():
                return str(snapshot / filename)
            from huggingface_hub.errors import LocalEntryNotFoundError

            raise LocalEntryNotFoundError(f"cannot find {filename} of {repo_id}")

        # The package imports hf_hub_download when it is first asked for it, which takes longer than all else here.
        module = sys.modules.get("huggingface_hub.file_download")
        real = module.hf_hub_download if module else None
        spaces = [vars(huggingface_hub), vars(solution.__dict__["_module"])] + ([vars(module)] if module else [])
        puts = [
            (vars(constants), "HF_HUB_OFFLINE", True),
            (vars(constants), "HF_HUB_CACHE", str(cache_folder if cached else cache_folder / "none")),
            *((space, key, hf_hub_download) for space in spaces for key,
            value in space.items() if real and value is real),
            (vars(huggingface_hub), "hf_hub_download", hf_hub_download),
        ]
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
    assert_equal(
        others, [], f"the list of files asked for beside {CONFIG} and {WEIGHTS}",
        because="These two hold all that the model needs.",
    )
    for name, p in model.named_parameters():
        assert_close(
            p.detach().cpu(), converted()[name], f"`{name}` of a model from the hub's cache",
            because="A name on the hub gives the same model as a folder with its two files.",
        )


def test_a_name_that_was_not_is_downloaded(solution):
    with hub(solution, online=True) as asked:
        try:
            model = solution.from_pretrained(NAME)
        except ValueError as error:
            if not asked:  # the solution asks the hub in a way that the stand-in above does not see
                return
            observe("asked for", sorted(set(asked)))
            fail(
                "a name that is not in the hub's cache yet is refused:", expected="a download", got=repr(str(error)),
                because="Where the cache has no such file, the hub is asked again, without local_files_only.",
            )
    assert_shape(
        model.wte.weight, (V, C), "`wte.weight` of the downloaded model", because="Its sizes are those of the files."
    )


@pytest.mark.parametrize("name", ["no-such-folder", "/no/such/folder"])
def test_a_name_that_nobody_knows_is_refused(solution, name):
    call = f'from_pretrained("{name}") offline'
    with hub(solution), assert_raises(
        Exception, call,
        because="It is no folder, and the hub does not give it: a ValueError names the two files and says to put them "
        "into a folder.",
    ):
        solution.from_pretrained(name)
