"""The fast path computes what the model's own forward computes: loss, gradients, text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from common import problem
from common.config import GPT2Config
from common.fast.decode import FEW, Decoder, linear, stream
from common.fast.loss import agrees, fast_loss
from common.fast.memory import step_in_backward


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


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


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_fast_path_has_the_loss_and_the_gradients_of_the_models_own_forward(smoothing):
    model = small_model(vocab_size=600)
    ids, targets = (
        torch.randint(600, (60, 23)),
        torch.randint(600, (60, 23)),
    )  # more rows than one piece
    found = []
    for loss in (
        F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), label_smoothing=smoothing),
        fast_loss(model, ids, targets, smoothing),
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
        fast = fast_loss(model, ids, targets)
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


@pytest.mark.parametrize("rows", [1, 2, 3, FEW, FEW + 1])
@pytest.mark.parametrize("outputs", [2, 7, 64, 101])
def test_the_product_for_a_few_rows_is_that_of_any(rows, outputs):
    weight, bias = torch.randn(outputs, 16), torch.randn(outputs)
    for x in (torch.randn(rows, 1, 16), torch.randn(1, rows, 16), torch.randn(rows, 32)[:, ::2]):
        for b in (bias, None):
            assert torch.allclose(linear(x, weight, b), F.linear(x, weight, b), atol=1e-5)
        other = torch.randn(16, outputs).t()
        assert torch.allclose(linear(x, other), F.linear(x, other), atol=1e-5)


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
        assert torch.allclose(decoder.read(ids)[:, 0], model(ids)[:, -1], atol=1e-5)
        more = torch.randint(101, (3, 1))
        assert torch.allclose(
            decoder.read(more)[:, 0], model(torch.cat([ids, more], 1))[:, -1], atol=1e-5
        )


def test_the_decoder_reads_several_tokens_onto_what_it_holds_and_forgets_them():
    model = small_model()
    ids = torch.randint(101, (1, 12))
    decoder = Decoder(model, 23)
    with torch.no_grad():
        decoder.read(ids[:, :5])
        decoder.read(torch.randint(101, (1, 4)))
        decoder.forget(4)
        assert torch.allclose(decoder.read(ids[:, 5:], 7), model(ids)[:, 5:], atol=1e-5)


@pytest.mark.parametrize("lookup", [1, 4, 9])
@pytest.mark.parametrize("length", [2, 8, 30])
def test_looking_ahead_changes_the_passes_and_not_the_text(length, lookup, monkeypatch):
    model = small_model()
    prompt = torch.randint(101, (1, length))
    passes = []
    read = Decoder.read
    monkeypatch.setattr(
        Decoder, "read", lambda self, *args: (passes.append(self), read(self, *args))[1]
    )

    def draw(generator):
        return lambda logits: torch.multinomial((3 * logits).softmax(-1), 1, generator=generator)

    for choose in (lambda _: lambda logits: logits.argmax(-1, keepdim=True), draw):
        generators = [torch.Generator().manual_seed(5) for _ in range(2)]
        one_by_one = list(stream(model, prompt, 40, 23, choose(generators[0])))
        plainly, passes[:] = len(passes), []
        ahead = list(stream(model, prompt, 40, 23, choose(generators[1]), lookup))
        assert torch.equal(torch.cat(one_by_one, 1), torch.cat(ahead, 1))
        assert plainly == 40
        assert len(passes) <= 40
        passes.clear()


def test_looking_ahead_saves_passes_where_the_text_repeats_itself(monkeypatch):
    model = small_model(n_positions=64)
    model.wpe.weight.data.zero_()
    for block in model.h:  # what is left says each token again and again
        block.attn.c_proj.weight.data.zero_()
        block.mlp.c_proj.weight.data.zero_()
    passes = []
    read = Decoder.read
    monkeypatch.setattr(
        Decoder, "read", lambda self, *args: (passes.append(self), read(self, *args))[1]
    )
    text = list(stream(model, torch.randint(101, (1, 5)), 40, 64, lookup=4))
    assert len({int(token) for token in text[-20:]}) <= 2
    assert len(passes) < 25
    with pytest.raises(ValueError, match="one row at a time"):
        next(stream(model, torch.randint(101, (2, 5)), 40, 64, lookup=4))


def test_updates_in_backward_are_the_updates_after_it():
    ids, targets = torch.randint(101, (2, 9)), torch.randint(101, (2, 9))
    ends = []
    for within in (False, True):
        model = small_model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        if within:
            step_in_backward(optimizer)
        for _ in range(3):
            fast_loss(model, ids, targets).backward()
            if within:
                assert all(p.grad is None for p in model.parameters())
            else:
                optimizer.step()
                optimizer.zero_grad()
        ends.append(model.state_dict())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
