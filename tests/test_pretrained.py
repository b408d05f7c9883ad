"""Problem 17 against Hugging Face: folders that transformers writes, with random weights, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from common import GPT2Config
from common.course.catalogue import ROOT, find
from common.judging import loading
from common.testing import fill

transformers = pytest.importorskip("transformers")
# Imported now, for the reason that tests/test_transformers.py gives.
modeling = pytest.importorskip("transformers.models.gpt2.modeling_gpt2")

FIELDS: dict[str, Any] = {
    "vocab_size": 29, "n_positions": 11, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 41,
    "embd_pdrop": 0.1, "attn_pdrop": 0.2, "resid_pdrop": 0.3,
    "layer_norm_epsilon": 0.03, "initializer_range": 0.05,
}  # fmt: skip
CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
RIGHT = sorted((ROOT / "tests/right/17-pretrained").glob("*.py"))


@pytest.fixture(scope="module", params=[find(17).reference, *RIGHT], ids=lambda p: p.stem)
def answer(request: pytest.FixtureRequest) -> ModuleType:
    """The reference and every right answer: the oracle of the problem's checks is the reference."""
    return loading.load(request.param)


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return loading.load(find(17).reference)


def theirs(**changes):
    """A GPT2LMHeadModel of transformers whose parameters are far from their start."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        **{**FIELDS, **changes}, attn_implementation="eager", bos_token_id=0, eos_token_id=0
    )
    model = modeling.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    return model


@pytest.fixture
def oracle():
    return theirs()


@pytest.fixture
def folder(oracle, tmp_path: Path) -> Path:
    oracle.save_pretrained(tmp_path)
    return tmp_path


def assert_same_logits(ours, oracle):
    ids = torch.randint(29, (3, 11))
    with torch.no_grad():
        difference = (ours(ids) - oracle(ids).logits).abs().max()
    assert difference < 1e-4


def old_layout(state: dict[str, Tensor], layers: int = 2) -> dict[str, Tensor]:
    """The hub's first gpt2 file: no prefix, and the masks of each layer."""
    old = {name.removeprefix("transformer."): t.clone() for name, t in state.items()}
    for i in range(layers):
        old[f"h.{i}.attn.bias"] = torch.ones(11, 11).tril().view(1, 1, 11, 11)
        old[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    return old


# --- folders that are whole ----------------------------------------------------------------------


@pytest.mark.parametrize("n_inner", [41, None])
def test_a_folder_of_transformers_gives_its_logits(answer, tmp_path, n_inner):
    oracle = theirs(n_inner=n_inner)
    oracle.save_pretrained(tmp_path)
    ours = answer.from_pretrained(str(tmp_path))
    assert not ours.training
    assert ours.lm_head.weight is ours.wte.weight
    assert_same_logits(ours, oracle)


def test_the_config_is_theirs(reference, folder):
    ours = reference.from_pretrained(folder)
    assert {name: getattr(ours.config, name) for name in FIELDS} == FIELDS


@pytest.mark.parametrize("head", [False, True])
def test_the_hubs_old_layout_gives_the_same_logits(answer, oracle, folder, head):
    state = old_layout(load_file(folder / "model.safetensors"))
    if head:
        state["lm_head.weight"] = state["wte.weight"].clone()
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert_same_logits(answer.from_pretrained(str(folder)), oracle)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_the_logits_of_the_rounded_weights(answer, oracle, folder, dtype):
    oracle.to(dtype).save_pretrained(folder)
    ours = answer.from_pretrained(str(folder))
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert_same_logits(ours, oracle.float())


def test_a_state_dict_in_memory_converts_as_a_file_does(answer, oracle):
    converted = answer.convert_hf_state_dict(oracle.state_dict())  # holds lm_head.weight
    GPT2Model = loading.load(find(10).reference).GPT2Model
    ours = GPT2Model(GPT2Config(**FIELDS))
    ours.load_state_dict(converted)
    assert_same_logits(ours.eval(), oracle)


def test_a_bare_gpt2model_of_theirs_converts_too(answer, oracle):
    converted = answer.convert_hf_state_dict(oracle.transformer.state_dict())
    assert "lm_head.weight" in converted


def test_what_problem_10_learned_goes_back_to_transformers(answer, tmp_path):
    ours = fill(loading.load(find(10).reference).GPT2Model(GPT2Config(**FIELDS)))
    back = {
        f"transformer.{name}": p.detach().T.contiguous() if name.endswith(CONV1D) else p.detach()
        for name, p in ours.named_parameters()  # the tied head once, under its first name
    }
    oracle = theirs()
    missing, unexpected = oracle.load_state_dict(back, strict=False)
    assert set(missing) <= {"lm_head.weight"}  # tied to wte over there too
    assert not unexpected
    assert_same_logits(ours, oracle)

    theirs().config.save_pretrained(tmp_path)
    save_file(back, tmp_path / "model.safetensors", {"format": "pt"})
    loaded, info = modeling.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same_logits(ours, loaded.eval())
    assert_same_logits(answer.from_pretrained(str(tmp_path)), loaded)


# --- folders that are not ------------------------------------------------------------------------


def refused(reference, folder: Path, *naming: str) -> None:
    with pytest.raises(ValueError, match="|".join(naming)):
        reference.from_pretrained(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file(reference, folder, name):
    (folder / name).unlink()
    refused(reference, folder, name)


def test_sharded_weights(reference, oracle, folder):
    (folder / "model.safetensors").unlink()
    oracle.save_pretrained(folder, max_shard_size="20KB")
    assert (folder / "model.safetensors.index.json").exists()
    refused(reference, folder, r"model\.safetensors")


def test_a_pickle_is_never_opened(reference, oracle, folder):
    (folder / "model.safetensors").unlink()
    torch.save(oracle.state_dict(), folder / "pytorch_model.bin")
    refused(reference, folder, r"model\.safetensors")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file(reference, folder, part):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    refused(reference, folder, r"model\.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", '"gpt2"', "null", "not json"])
def test_a_damaged_config(reference, folder, text):
    (folder / "config.json").write_text(text)
    refused(reference, folder, r"config\.json")


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("n_embd", 48, "n_embd|weight|bias"), ("vocab_size", 30, "vocab_size|wte|lm_head"),
        ("n_positions", 12, "n_positions|wpe"), ("n_inner", 40, r"n_inner|mlp"),
        ("n_layer", 3, r"n_layer|h\.2"), ("n_layer", 1, r"n_layer|h\.1"),
        ("n_head", 5, "n_head"), ("n_head", "3", "n_head"), ("n_head", True, "n_head"),
        ("resid_pdrop", "0.1", "resid_pdrop"), ("activation_function", "gelu", "activation"),
        ("scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx"),
        ("scale_attn_weights", False, "scale_attn_weights"),
        ("model_type", "bert", "model_type"), ("tie_word_embeddings", False, "tie"),
    ],
)  # fmt: skip
def test_a_config_that_is_not_this_models(reference, folder, field, value, word):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    refused(reference, folder, word)


@pytest.mark.parametrize("change", ["unknown", "missing", "untied"])
def test_other_keys(reference, folder, change):
    path = folder / "model.safetensors"
    state = load_file(path)
    if change == "unknown":
        state["transformer.h.0.crossattention.c_attn.weight"] = torch.zeros(24, 48)
    elif change == "missing":
        del state["transformer.h.1.attn.c_attn.bias"]
    else:
        state["lm_head.weight"] = state["transformer.wte.weight"] + 1
    save_file(state, path, {"format": "pt"})
    names = {
        "unknown": "crossattention",
        "missing": r"h\.1\.attn\.c_attn\.bias",
        "untied": "lm_head",
    }
    refused(reference, folder, names[change])


def test_another_family_of_models(reference, tmp_path):
    config = transformers.GPTNeoConfig(
        vocab_size=29, hidden_size=24, num_layers=2, num_heads=3, attention_types=[[["global"], 2]]
    )
    transformers.GPTNeoForCausalLM(config).save_pretrained(tmp_path)
    refused(reference, tmp_path, "model_type|gpt_neo")


# --- the reference's own points ------------------------------------------------------------------


def test_a_config_that_asks_for_too_much_is_refused_before_anything_is_built(reference, folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_positions": 10**12}))
    refused(reference, folder, "n_positions")


def test_an_error_says_where_the_file_should_be(reference, folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(reference, folder, "pytorch_model.bin")


def test_the_hubs_cache_is_asked_before_the_network(reference, folder, monkeypatch):
    import huggingface_hub

    asked = []

    def hf_hub_download(repo_id, filename, *, local_files_only=False):
        asked.append((repo_id, filename, local_files_only))
        return str(folder / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    reference.from_pretrained("openai-community/gpt2")
    assert asked == [
        ("openai-community/gpt2", name, True) for name in ("config.json", "model.safetensors")
    ]
