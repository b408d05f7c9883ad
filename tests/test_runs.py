"""What a training run leaves on the disk, and what it does only once; without a process of its own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common import GPT2Config
from common.course.catalogue import find
from common.errors import CourseError
from common.judging import loading
from common.train import checkpoint, data, runs
from common.train.parts import Parts
from common.train.runs import State
from common.train.settings import Settings

CONFIG = GPT2Config(vocab_size=50, n_positions=8, n_embd=12, n_layer=1, n_head=2)


@pytest.fixture
def model() -> torch.nn.Module:
    return Parts(loading.references)(10, "GPT2Model")(CONFIG)


def saved(run: Path, model: torch.nn.Module, step: int, total: int = 0) -> Path:
    optimizer = torch.optim.AdamW(model.parameters())
    state = State(step, Settings(), total)
    return checkpoint.save(run, model, CONFIG, optimizer, state, best=True)


def test_a_step_that_is_there_already_stays_until_the_new_one_is_whole(
    model, tmp_path: Path, monkeypatch
):
    first = saved(tmp_path, model, 4)
    before = (first / "model.safetensors").read_bytes()

    def torn(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", torn)
        with pytest.raises(CourseError, match="the one before is whole"):
            saved(tmp_path, model, 4)
    assert runs.pointed(tmp_path, "last") == first
    assert (first / "model.safetensors").read_bytes() == before
    second = saved(tmp_path, model, 4)
    assert second != first
    assert runs.pointed(tmp_path, "last") == second
    assert not first.exists()


def test_a_run_that_came_to_its_end_goes_before_one_that_was_stopped(model, tmp_path: Path):
    saved(tmp_path / "whole", model, 8, total=8)
    saved(tmp_path / "stopped", model, 4, total=8)
    os.utime(tmp_path / "whole" / "last", (1, 1))
    assert runs.latest_run(tmp_path).name == "whole"
    assert runs.latest_run(tmp_path, to_resume=True).name == "stopped"


def test_an_epoch_is_shuffled_once(monkeypatch):
    shuffled = []
    permuted = torch.randperm

    def counted(*args, **options):
        shuffled.append(args)
        return permuted(*args, **options)

    monkeypatch.setattr(torch, "randperm", counted)
    windows = torch.arange(40).reshape(10, 2, 2)
    some = data.Data(windows, windows, batch_size=2, seed=4711)
    seen = torch.cat([some.batch(number)[0] for number in range(5)])
    assert len(shuffled) == 1
    assert sorted(seen[:, 0].tolist()) == windows[:, 0, 0].tolist()
    # Every process of several gets its share of the same order.
    shares = [replace(some, batch_size=1, rank=rank, ranks=2).batch(0)[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), some.batch(0)[0])


def test_two_looks_at_a_part_find_the_same_class():
    parts = Parts(loading.references)
    assert parts(10, "GPT2Model") is parts(10, "GPT2Model")


def test_writing_with_ones_own_parts_does_not_ask_for_problem_18():
    from common.cli.generate import OWN

    assert find(18).key not in {f"{number:02}" for number in OWN}
