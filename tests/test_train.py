"""gpt2 train and gpt2 generate: same losses after a resume, a kill, with the learner's parts, on two processes."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from common import gpt2_tokenizer, problem
from common.course.catalogue import find, problems
from common.train import runs
from common.train.curve import batch_losses
from common.train.plot import chart, save_plot

TINY = ("--n-embd", "24", "--n-layer", "2", "--n-head", "3", "--n-positions", "32")
QUICK = (
    *TINY,
    "--stride",
    "32",
    "--batch-size",
    "16",
    "--eval-batches",
    "2",
    "--sample-tokens",
    "4",
    "--eval-every",
    "4",
)


def losses(checkout: Path, run: str = "the-tide-ledger") -> list[tuple[int, float, float]]:
    text = (checkout / "checkpoints" / run / "history.jsonl").read_text()
    return [(r["step"], r["train_loss"], r["val_loss"]) for r in map(json.loads, text.splitlines())]


def start(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1", "COLUMNS": "80"}
    return subprocess.Popen(
        [sys.executable, "-m", "common.cli", "train", *arguments],
        cwd=checkout, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(path: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


# --- the command


def test_a_text_goes_in_and_a_model_that_writes_comes_out(gpt2, checkout: Path):
    done = gpt2("train", *QUICK, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert "Epoch 1/2, Step 4, Train loss: 10." in done.stdout
    assert "Every effort moves you" in done.stdout
    run = checkout / "checkpoints" / "the-tide-ledger"
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [step for step, *_ in losses(checkout)] == [0, 4, 8, 12, 16]
    folder = runs.checkpoint_in(run, "last")
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "optimizer.safetensors", "state.json"}
    written = [
        gpt2("generate", "--prompt", "My name is", "--tokens", "8", "--seed", "3").stdout
        for _ in range(2)
    ]
    assert written[0] == written[1]
    assert written[0].startswith("My name is")


def test_the_loss_falls_and_the_best_checkpoint_is_kept(gpt2, checkout: Path):
    gpt2("train", *QUICK, "--epochs", "6", "--lr", "0.02", "--warmup", "4")
    run = checkout / "checkpoints" / "the-tide-ledger"
    history = losses(checkout)
    assert history[-1][1] < history[0][1] - 1
    best = runs.read_state(runs.checkpoint_in(run, "best"))
    assert best.best == pytest.approx(min(val for _, _, val in history))
    assert best.step == min(history, key=lambda r: r[2])[0]


def test_the_curve_begins_at_step_0_and_knows_every_batch(gpt2, checkout: Path):
    few = [*QUICK]
    few[few.index("--eval-every") : few.index("--eval-every") + 2] = []
    done = gpt2("train", *few, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    history = runs.read_history(checkout / "checkpoints" / "the-tide-ledger")
    # A new model holds every token of the vocabulary for equally likely.
    assert history[0]["step"] == 0
    assert history[0]["train_loss"] == pytest.approx(math.log(50257), abs=0.1)
    assert history[0]["val_loss"] == pytest.approx(math.log(50257), abs=0.1)
    assert [r["step"] for r in history] == [0, 5, 10, 15, 16]
    assert [step for step, _ in batch_losses(history)] == [*range(16)]
    assert batch_losses(history)[0][1] == pytest.approx(math.log(50257), abs=0.1)
    assert [bool(r["sample"]) for r in history] == [True, False, False, False, True]
    assert "5 steps done, which count: the whole takes about" in done.stdout


def test_samples_are_drawn_and_greedy_ones_are_asked_for(gpt2, checkout: Path):
    tokens = ("--sample-tokens", "30", "--epochs", "6", "--lr", "0.02", "--warmup", "4")

    def last(*more: str) -> str:
        gpt2("train", *QUICK, *tokens, *more)
        return runs.read_history(checkout / "checkpoints" / "the-tide-ledger")[-1]["sample"]

    drawn, again, greedy = last(), last(), last("--sample-temperature", "0")
    assert drawn == again, "the same random numbers"
    assert len(set(drawn.split())) > len(set(greedy.split()))


def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(gpt2, checkout: Path):
    whole = ("train", *QUICK, "--epochs", "3")
    gpt2(*whole)
    wanted = losses(checkout)
    shutil.rmtree(checkout / "checkpoints")
    process = start(checkout, *whole[1:])
    wait_for(checkout / "checkpoints" / "the-tide-ledger" / "last")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "gpt2 train --resume goes on" in said
    assert len(losses(checkout)) < len(wanted)
    done = gpt2("train", "--resume")
    assert done.returncode == 0, done.stderr
    assert losses(checkout) == wanted, "to the last bit"


def test_killed_at_any_moment_the_last_checkpoint_is_whole(gpt2, checkout: Path):
    arguments = (*QUICK, "--epochs", "4", "--eval-every", "1")
    gpt2("train", *arguments)
    wanted = losses(checkout)
    run = checkout / "checkpoints" / "the-tide-ledger"
    shutil.rmtree(checkout / "checkpoints")
    process = start(checkout, *arguments)
    wait_for(run / "last")
    for pause in (0.05, 0.21, 0.33):
        time.sleep(pause)
        process.kill()
        process.communicate()
        folder = runs.pointed(run, "last")
        assert folder is not None
        runs.read_state(folder)
        process = start(checkout, "--resume")
        before = runs.read_state(folder).step
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            now = runs.pointed(run, "last")
            if now and runs.read_state(now).step > before:
                break
            time.sleep(0.02)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert losses(checkout) == wanted
    assert not list(run.glob(".*")), "nothing half written is left"


@pytest.fixture
def solved(checkout: Path) -> Path:
    for p in problems():
        shutil.copy(p.reference, checkout / "problems" / p.name / "solution.py")
    return checkout


def test_the_learners_own_parts_give_the_same_losses(gpt2, solved: Path):
    gpt2("train", *QUICK, "--epochs", "1")
    done = gpt2("train", *QUICK, "--epochs", "1", "--mine")
    assert done.returncode == 0, done.stderr
    assert "your own GPT-2" in done.stdout
    assert losses(solved, "the-tide-ledger-mine") == losses(solved)
    broken = solved / "problems" / find(5).name / "solution.py"
    broken.write_text(broken.read_text().replace(".tril()", ".tril(1)"))
    done = gpt2("train", *QUICK, "--mine")
    assert done.returncode == 1
    assert "your 05 Causal masking does not pass" in done.stderr
    assert "gpt2 check 05" in done.stderr


def test_an_earlier_run_is_set_aside(gpt2, checkout: Path):
    gpt2("train", *QUICK, "--epochs", "1")
    done = gpt2("train", *QUICK, "--epochs", "1")
    assert "kept as checkpoints/the-tide-ledger.1" in done.stderr
    assert (checkout / "checkpoints" / "the-tide-ledger.1" / "last").is_file()


def test_every_slip_gets_one_sentence(gpt2, checkout: Path):
    (checkout / "short.txt").write_text("Once upon a time there was a very short story. " * 4)
    for arguments, says in {
        ("train", "--resume"): "there is no checkpoint",
        ("train", "--text", "nowhere.txt"): "there is no text 'nowhere.txt'",
        ("train", "--text", "short.txt", "--context", "32"): "one window of context 32 needs 33",
        ("train", "--context", "0"): "--context must be at least 1, not 0",
        ("train", "--context", "200"): "longer than the model's 128 positions",
        (
            "train",
            "--n-embd",
            "10",
            "--n-head",
            "3",
        ): "n_embd (10) must be a multiple of n_head (3)",
        ("train", "--dropout", "1"): "embd_pdrop must be in [0, 1), not 1.0",
        ("train", "--lr", "0"): "--lr must be above 0",
        ("train", "--device", "tpu"): "--device tpu cannot be used here",
        ("generate",): "there is no checkpoint",
        ("generate", "--tokens", "-1"): "--tokens must not be negative",
        ("generate", "--temperature", "-1"): "--temperature must not be negative",
        ("generate", "--top-k", "0"): "--top-k must be at least 1",
        ("generate", "--top-p", "1.5"): "--top-p must be above 0 and at most 1",
    }.items():
        done = gpt2(*arguments)
        assert done.returncode in (1, 2), (arguments, done.stdout)
        assert says in done.stderr, (arguments, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr
    assert not (checkout / "checkpoints").exists()


# --- two processes


def together(ranks: int) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, f"--nproc_per_node={ranks}", "-m", "common.cli", "train"]


def run_together(checkout: Path, ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*together(ranks), *arguments],
        cwd=checkout, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_two_processes_learn_as_one_with_the_doubled_batch(gpt2, checkout: Path):
    same = (
        *TINY,
        "--epochs",
        "2",
        "--eval-every",
        "2",
        "--eval-batches",
        "2",
        "--sample-tokens",
        "0",
        "--dropout",
        "0",
        "--accumulate",
        "2",
    )
    same = (*same, "--stride", "32")
    gpt2("train", *same, "--batch-size", "16", "--out", "checkpoints/one")
    done = run_together(checkout, 2, *same, "--batch-size", "8", "--out", "checkpoints/two")
    assert done.returncode == 0, done.stderr
    one, two = losses(checkout, "one"), losses(checkout, "two")
    assert [step for step, *_ in one] == [step for step, *_ in two]
    # The two look at batches of 8 instead of 16 when they evaluate: as many windows in all.
    for (_, _, val), (_, _, other) in zip(one, two, strict=True):
        assert val == pytest.approx(other, abs=1e-4)


def test_one_process_dying_ends_the_other_and_leaves_the_checkpoint(checkout: Path):
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*together(2), *QUICK, "--epochs", "2000", "--eval-every", "2"],
        cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    run = checkout / "checkpoints" / "the-tide-ledger"
    wait_for(run / "last")
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    said = process.communicate(timeout=120)[0]
    assert process.returncode != 0
    assert "SIGKILL" in said or "the last checkpoint is whole" in said
    folder = runs.pointed(run, "last")
    assert folder is not None
    assert runs.read_state(folder).step > 0


# --- the fast path


def test_fast_training_has_the_losses_of_plain_training(gpt2, checkout: Path):
    gpt2("train", *QUICK, "--epochs", "1", "--dropout", "0", "--out", "checkpoints/plain")
    gpt2("train", *QUICK, "--epochs", "1", "--dropout", "0", "--fast", "--out", "checkpoints/fast")
    for plain, fast in zip(losses(checkout, "plain"), losses(checkout, "fast"), strict=True):
        assert plain == pytest.approx(fast, abs=1e-3)


def test_low_memory_training_has_the_losses_of_plain_training(gpt2, checkout: Path):
    flags = (*QUICK, "--epochs", "1", "--grad-clip", "0", "--fast")
    gpt2("train", *flags, "--out", "checkpoints/plain")
    gpt2("train", *flags, "--low-memory", "--out", "checkpoints/low")
    assert losses(checkout, "plain") == losses(checkout, "low")
    done = gpt2("train", *QUICK, "--low-memory")
    assert done.returncode == 2
    assert "it needs --grad-clip 0 and --accumulate 1" in done.stderr


# --- pictures


def test_the_chart_shows_both_curves():
    history = [
        {"step": s, "train_loss": 10 - s / 10, "val_loss": 10 - s / 20, "tokens_seen": 100 * s}
        for s in range(1, 31)
    ]
    lines = chart(history, width=30, height=8)
    assert max(map(len, lines)) <= 80
    assert "." in lines[-3]
    assert any("o" in line for line in lines[:-1])
    assert "step 1 to 30" in lines[-1]
    assert chart([]) == []
    history[9] |= {"train_loss": float("nan"), "val_loss": float("inf")}
    assert len(chart(history, width=30, height=8)) == len(lines), "a gap, and no error"


def test_the_plot_is_written_whole(tmp_path):
    history = [{"step": 5, "train_loss": 9.0, "val_loss": 9.5, "tokens_seen": 500}]
    save_plot(history, 5, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["loss.png"]


def test_a_checkpoint_is_a_folder_that_problem_17_loads(gpt2, checkout: Path):
    gpt2("train", *QUICK, "--epochs", "1")
    folder = runs.checkpoint_in(checkout / "checkpoints" / "the-tide-ledger")
    model = problem(17).from_pretrained(str(folder))
    assert model.config.n_embd == 24
    assert model(torch.tensor([gpt2_tokenizer().encode("My name is")])).shape == (1, 3, 50257)


def test_what_is_exported_is_what_transformers_loads(gpt2, checkout: Path):
    transformers = pytest.importorskip("transformers")
    gpt2("train", *QUICK, "--epochs", "1")
    done = gpt2("export", "out")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (checkout / "out").iterdir()}
    assert names == {"config.json", "model.safetensors", "vocab.json", "merges.txt"}
    theirs, info = transformers.GPT2LMHeadModel.from_pretrained(
        checkout / "out", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids = torch.tensor([gpt2_tokenizer().encode("The sea never holds still")])
    ours = problem(17).from_pretrained(str(checkout / "out"))
    with torch.no_grad():
        assert torch.allclose(ours(ids), theirs.eval()(ids).logits, atol=1e-4)
    again = gpt2("export", "out")
    assert again.returncode == 2
    assert "not empty" in again.stderr


def test_training_goes_on_from_pretrained_weights(gpt2, checkout: Path):
    gpt2("train", *QUICK, "--epochs", "4", "--lr", "0.02", "--warmup", "4")
    gpt2("export", "out")
    low = losses(checkout)[-1][1]
    done = gpt2(
        "train",
        "--from",
        "out",
        "--epochs",
        "1",
        "--batch-size",
        "16",
        "--lr",
        "1e-6",
        "--out",
        "checkpoints/tuned",
        "--eval-batches",
        "2",
        "--sample-tokens",
        "0",
    )
    assert done.returncode == 0, done.stderr
    assert losses(checkout, "tuned")[0][1] < low + 0.5
