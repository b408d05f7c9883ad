"""Checkpoints: a folder each, written aside and then renamed, so that a crash leaves the last good one.

RUN/step-00000120/config.json, model.safetensors     as Hugging Face lays them out
                  optimizer.safetensors              moments, and the states of random generators
                  state.json                         step, settings, best loss so far
RUN/last, RUN/best                                   the names of two of these folders
RUN/history.jsonl                                    a record for each evaluation
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from common.config import GPT2Config
from common.errors import CourseError
from common.progress import write_atomically
from common.train.settings import Settings, config_to_json

CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # kept as (in, out) by Hugging Face


@dataclass
class State:
    """Everything beside the weights that a run needs to go on as if it had never stopped."""

    step: int
    settings: Settings
    best: float = float("inf")
    tokens: int = 0
    seconds: float = 0.0


def to_published(model: Any) -> dict[str, Tensor]:
    """The weights under the published names and in the published layout; a tied head is left out."""
    tied = model.lm_head.weight is model.wte.weight
    out = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        published = name if name == "lm_head.weight" else f"transformer.{name}"
        out[published] = (tensor.t() if name.endswith(CONV1D) else tensor).contiguous()
    return out


def write_weights(
    folder: Path, model: nn.Module, config: GPT2Config, *, untied: bool = False
) -> None:
    """config.json and model.safetensors, as transformers would write them."""
    (folder / "config.json").write_text(config_to_json(config, untied=untied), encoding="utf-8")
    weights = {name: tensor.cpu() for name, tensor in to_published(model).items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})


def save(
    run: Path, model: nn.Module, config: GPT2Config, optimizer: torch.optim.Optimizer, state: State, *, best: bool
) -> Path:  # fmt: skip
    """Write a checkpoint and let `last` (and `best`) point to it; others are removed afterwards."""
    name = f"step-{state.step:08d}"
    aside = run / f".{name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    write_weights(aside, model, config, untied=state.settings.untied)
    save_file(_training_state(model, optimizer), str(aside / "optimizer.safetensors"))
    record = {
        "step": state.step,
        "best": state.best,
        "tokens": state.tokens,
        "seconds": state.seconds,
    }
    text = json.dumps(record | {"settings": state.settings.to_json()}, indent=1) + "\n"
    (aside / "state.json").write_text(text, encoding="utf-8")
    for file in aside.iterdir():
        _flush(file)
    final = run / name
    if final.exists():  # the same step again, after a resume from an earlier one
        old = run / f".{name}.old"
        shutil.rmtree(old, ignore_errors=True)
        os.replace(final, old)
    os.replace(aside, final)
    _flush(run)
    write_atomically(run / "last", name + "\n")
    if best:
        write_atomically(run / "best", name + "\n")
    _tidy(run)
    return final


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # a folder, on some systems
    finally:
        os.close(handle)


def _tidy(run: Path) -> None:
    kept = {pointed(run, which) for which in ("last", "best")}
    for folder in [*run.glob("step-*"), *run.glob(".step-*")]:
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def pointed(run: Path, which: str) -> Path | None:
    """The checkpoint that `last` or `best` names, if it is there."""
    try:
        folder = run / (run / which).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder if (folder / "state.json").is_file() else None


def find(place: Path, which: str = "best") -> Path:
    """A folder with weights: the place itself, or a checkpoint of the run that it holds.

    Raises:
        CourseError: there is none.
    """
    if (place / "config.json").is_file():
        return place
    for name in (which, "last", "best"):
        if folder := pointed(place, name):
            return folder
    raise CourseError(f"there is no checkpoint in {place}: uv run gpt2 train makes one")


def latest_run(root: Path) -> Path:
    """The run that was written to last.

    Raises:
        CourseError: there is none.
    """
    runs = sorted(root.glob("*/last"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise CourseError(f"there is no checkpoint in {root}: uv run gpt2 train makes one")
    return runs[-1].parent


def read_state(folder: Path) -> State:
    """What state.json says.

    Raises:
        CourseError: it is missing or damaged.
    """
    try:
        data = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        settings = Settings.from_json(data["settings"])
        return State(data["step"], settings, data["best"], data["tokens"], data["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{folder / 'state.json'} cannot be read ({error})") from None


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the weights, the optimizer and the random generators back as they were.

    Raises:
        CourseError: a file is damaged or belongs to another shape.
    """
    try:
        weights = load_file(str(folder / "model.safetensors"))
        moments = load_file(str(folder / "optimizer.safetensors"))
    except (OSError, SafetensorError) as error:
        raise CourseError(f"the checkpoint {folder} is damaged ({error})") from None
    own = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, tensor in weights.items():
            target = own[name.removeprefix("transformer.")]
            target.copy_(tensor.t() if name.endswith(CONV1D) else tensor)
    for name, parameter in model.named_parameters():
        if f"{name}.exp_avg" in moments:
            state = optimizer.state[parameter]
            state["step"] = moments[f"{name}.step"].clone()
            for key in ("exp_avg", "exp_avg_sq"):
                state[key] = moments[f"{name}.{key}"].to(parameter.device)
            if optimizer.defaults.get("fused"):
                state["step"] = state["step"].to(parameter.device)
    torch.set_rng_state(moments["rng.cpu"])
    if torch.cuda.is_available() and "rng.cuda" in moments:
        torch.cuda.set_rng_state(moments["rng.cuda"])


def _training_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    out = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        out["rng.cuda"] = torch.cuda.get_rng_state()
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            out[f"{name}.{key}"] = torch.as_tensor(value).detach().cpu().contiguous().clone()
    return out


def read_history(run: Path) -> list[dict[str, Any]]:
    """The records so far; a last line that was cut off by a crash is left out."""
    records = []
    try:
        lines = (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def write_history(run: Path, records: list[dict[str, Any]]) -> None:
    """All records anew, atomically."""
    write_atomically(run / "history.jsonl", "".join(json.dumps(r) + "\n" for r in records))
