"""The fast path computes what the model's own forward computes: loss, gradients, text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from common import problem
from common.config import GPT2Config
from common.train.compiling import COST, Trial, can_compile
from common.train.decode import Decoder, stream
from common.train.fast_loss import agrees, fast_loss
from common.train.fused import causal, fused
from common.train.losses import FastLoss
from common.train.memory import step_in_backward


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def fused_loss(model: Any, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    with fused(model, causal(model)):
        return fast_loss(model, ids, targets)


def small_model(**changes) -> Any:
    config = GPT2Config(
        **{"vocab_size": 101, "n_positions": 23, "n_embd": 24, "n_layer": 2, "n_head": 3} | changes
    )
    torch.manual_seed(1)
    model = problem(10).GPT2Model(config)
    problem(11).init_weights(model)
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model.eval()


def test_the_fast_path_has_the_loss_and_the_gradients_of_the_models_own_forward():
    model = small_model(vocab_size=600)
    ids, targets = (
        torch.randint(600, (60, 23)),
        torch.randint(600, (60, 23)),
    )  # more rows than one piece
    found = []
    for loss in (
        F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()),
        fused_loss(model, ids, targets),
    ):
        model.zero_grad()
        (3 * loss).backward()
        found.append(gradients(model))
        found[-1]["loss"] = loss.detach()
    own, fast = found
    assert agrees(model, ids, targets) < 1e-5
    for name in own:
        assert torch.allclose(own[name], fast[name], atol=1e-6, rtol=1e-4), name


def test_the_fast_path_agrees_under_autocast_too():
    model = small_model(vocab_size=600)
    ids, targets = torch.randint(600, (30, 23)), torch.randint(600, (30, 23))
    own = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    own.backward()
    wanted = gradients(model)
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast = fused_loss(model, ids, targets)
    fast.backward()
    assert fast.item() == pytest.approx(own.item(), rel=0.01)  # bfloat16 keeps 8 bits
    for name, grad in gradients(model).items():
        assert grad.dtype == torch.float32
        off = (grad - wanted[name]).norm() / wanted[name].norm().clamp(min=1e-3)
        assert off < 0.1, name


def test_the_fast_path_refuses_a_model_that_is_no_gpt2():
    model = small_model()
    model.ln_f = torch.nn.Identity()
    with pytest.raises((AttributeError, ValueError)):
        agrees(model, torch.randint(101, (2, 9)), torch.randint(101, (2, 9)))


@pytest.mark.parametrize("length", [1, 5, 23, 30])
def test_the_stream_writes_what_generate_writes_also_when_the_window_slides(length):
    model = small_model()
    prompt = torch.randint(101, (2, length))
    wanted = problem(15).generate_text_simple(model, prompt, 40, 23)
    got = torch.cat(list(stream(model, prompt, 40, 23)), 1)
    assert torch.equal(got, wanted)


def test_the_decoder_reads_a_prompt_in_one_pass():
    model = small_model()
    ids = torch.randint(101, (3, 9))
    decoder = Decoder(model, 23)
    with torch.no_grad():
        assert torch.allclose(decoder.read(ids), model(ids)[:, -1], atol=1e-5)
        more = torch.randint(101, (3, 1))
        assert torch.allclose(
            decoder.read(more), model(torch.cat([ids, more], 1))[:, -1], atol=1e-5
        )


@torch.no_grad()
def test_the_decoder_takes_one_token_at_a_time_after_the_prompt():
    decoder = Decoder(small_model(), 23)
    decoder.read(torch.randint(101, (1, 5)))
    with pytest.raises(ValueError, match="one at a time"):
        decoder.read(torch.randint(101, (1, 2)))


def test_a_model_is_as_it_was_after_the_fast_path():
    model = small_model()
    ids = torch.randint(101, (2, 9))
    before = model(ids)
    fused_loss(model, ids, ids)
    list(stream(model, ids, 3, 23))
    assert not [m for m in model.modules() if "forward" in vars(m)]
    assert torch.equal(model(ids), before)


def test_updates_in_backward_are_the_updates_after_it():
    ids, targets = torch.randint(101, (2, 9)), torch.randint(101, (2, 9))
    ends = []
    for within in (False, True):
        model = small_model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        if within:
            step_in_backward(optimizer)
        for _ in range(3):
            fused_loss(model, ids, targets).backward()
            if within:
                assert all(p.grad is None for p in model.parameters())
            else:
                optimizer.step()
                optimizer.zero_grad()
        ends.append(model.state_dict())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


def test_layers_are_compiled_where_the_run_is_long_enough_and_kept_where_it_pays():
    def said(plain: float, compiled: float, left: int) -> tuple[bool, list[str]]:
        trial, wanted, notes = Trial(), False, []
        for _ in range(30):
            wanted, note = trial.after(compiled if wanted else plain, left)
            notes += [note] if note else []
        return wanted, notes

    assert said(0.2, 0.1, 10) == (False, []), "too short to pay it back"
    long = int(20 * COST / 0.2)
    assert said(0.2, 0.1, long)[0]
    kept, notes = said(0.2, 0.21, long)
    assert not kept
    assert notes[-1] == "compiled: 200 to 210 ms a step; without it again"


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="no C++ compiler here")
def test_compiled_layers_have_the_same_loss():
    torch.compiler.reset()
    model = small_model()
    ids = torch.randint(101, (2, 9))
    loss = FastLoss(model)
    with fused(model, causal(model)):
        plain = loss(ids, ids)
        loss.compile_layers(True)
        compiled = loss(ids, ids)
    assert compiled.item() == pytest.approx(plain.item(), rel=1e-5)
