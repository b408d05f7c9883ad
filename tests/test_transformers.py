"""The references against Hugging Face's GPT-2, with random weights: an oracle that is not ours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common import GPT2Config
from common.course.catalogue import find
from common.judging import loading
from common.testing import fill

transformers = pytest.importorskip("transformers")
# Imported now: transformers loads its models lazily, and torch's compiler with them, which does not
# go together with the stand-in that the problems' checks put in the compiler's place.
modeling = pytest.importorskip("transformers.models.gpt2.modeling_gpt2")

TINY = GPT2Config(
    vocab_size=29, n_positions=11, n_embd=15, n_layer=2, n_head=3, n_inner=41, layer_norm_epsilon=0.03
)  # fmt: skip


def reference(number: int):
    return loading.load(find(number).reference)


def theirs(config: GPT2Config):
    """transformers' config of the same shape."""
    names = (
        "vocab_size n_positions n_embd n_layer n_head n_inner layer_norm_epsilon initializer_range"
    )
    fields = {name: getattr(config, name) for name in names.split()}
    return transformers.GPT2Config(
        **fields, attn_implementation="eager", bos_token_id=0, eos_token_id=0
    )


def copy_weights(source: nn.Module, target: nn.Module, prefix: str = "") -> None:
    """Our parameters into a transformers module; its Conv1D layers hold their weights transposed."""
    conv = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state: dict[str, Tensor] = {}
    for name, p in source.state_dict().items():
        where = name if name.startswith("lm_head") else prefix + name
        state[where] = p.T.contiguous() if name.endswith(conv) else p
    missing, unexpected = target.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith(("attn.bias", "masked_bias")) for name in missing), missing


@pytest.mark.parametrize("seed", range(3))
def test_the_block_of_problem_08_equals_theirs(seed: int):
    torch.manual_seed(seed)
    ours = fill(reference(8).TransformerBlock(TINY))
    block = modeling.GPT2Block(theirs(TINY), layer_idx=0).eval()
    copy_weights(ours, block)
    x = torch.randn(2, 7, 15)
    with torch.no_grad():
        result = block(x, attention_mask=torch.full((7, 7), float("-inf")).triu(1)[None, None])
        expected = result[0] if isinstance(result, tuple) else result
        assert (ours(x) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_the_logits_of_problem_10_equal_theirs_at_the_tiny_size(seed: int):
    torch.manual_seed(seed)
    ours = fill(reference(10).GPT2Model(TINY))
    model = modeling.GPT2LMHeadModel(theirs(TINY)).eval()
    copy_weights(ours, model, "transformer.")
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in model.parameters())
    ids = torch.randint(29, (3, 11))
    with torch.no_grad():
        assert (ours(ids) - model(ids).logits).abs().max() < 1e-4


@pytest.mark.slow
def test_the_logits_of_problem_10_equal_theirs_at_full_gpt2_small():
    torch.manual_seed(0)
    config = GPT2Config.gpt2_small()
    ours = reference(10).GPT2Model(config).eval()
    reference(11).init_weights(ours)
    model = modeling.GPT2LMHeadModel(theirs(config)).eval()
    copy_weights(ours, model, "transformer.")
    assert sum(p.numel() for p in ours.parameters()) == 124_439_808
    ids = torch.randint(50257, (1, 64))
    with torch.no_grad():
        assert (ours(ids) - model(ids).logits).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["gpt2_small", "gpt2_medium", "gpt2_large", "gpt2_xl"])
def test_parameter_counts_equal_theirs(name: str):
    config = getattr(GPT2Config, name)()
    with torch.device("meta"):
        model = modeling.GPT2LMHeadModel(theirs(config))
        ours = reference(10).GPT2Model(config)
    count = sum(p.numel() for p in model.parameters())
    assert config.num_parameters() == count == sum(p.numel() for p in ours.parameters())


def test_their_initialisation_has_the_deviations_of_problem_11():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=211, n_positions=97, n_embd=96, n_layer=6, n_head=4)
    model = modeling.GPT2LMHeadModel(theirs(config))
    ours = reference(10).GPT2Model(config)
    reference(11).init_weights(ours)
    for name, p in ours.named_parameters():
        where = dict(model.transformer.named_parameters())[name]
        if p.ndim == 2:
            assert abs(where.std() / p.std() - 1) < 0.06, name
        else:
            assert torch.equal(where, p), name
