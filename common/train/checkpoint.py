"""Weights and training state to a folder and back: written aside and then renamed, so that a crash leaves the last."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from common.config import GPT2Config
from common.errors import CourseError
from common.train.runs import State, point
from common.train.settings import config_to_json

CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # kept as (in, out) by Hugging Face


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
    """Write a checkpoint and let `last` (and `best`) name it; others are removed afterwards."""
    name = step = f"step-{state.step:08d}"
    number = 1
    while (
        run / name
    ).exists():  # the same step again, after a resume: the old one stays until this one is whole
        number += 1
        name = f"{step}-{number}"
    aside = run / f".{name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        write_weights(aside, model, config, untied=state.settings.untied)
        save_file(_training_state(model, optimizer), str(aside / "optimizer.safetensors"))
        (aside / "state.json").write_text(state.to_json(), encoding="utf-8")
        for file in aside.iterdir():
            _flush(file)
        os.replace(aside, run / name)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CourseError(
            f"the checkpoint of step {state.step} could not be written ({error}); the one before is whole"
        ) from error
    _flush(run)
    point(run, name, best=best)
    return run / name


def _flush(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a folder, on some systems
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


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
