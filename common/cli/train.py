"""gpt2 train: a text in, a GPT-2 that has read it out."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import GPT2Config
from common.course.catalogue import shown
from common.errors import CourseError, UsageError
from common.text.texts import require_text
from common.train import runs
from common.train.settings import PRESETS, Settings

if TYPE_CHECKING:
    import torch

    from common.train.distributed import World
    from common.train.loop import Trainer

_CONFIG_FLAGS: dict[str, type] = {
    f.name: float if isinstance(f.default, float) else int for f in fields(GPT2Config)
}
_HELP = {
    "text": "a name (the-tide-ledger, the-verdict) or a file",
    "train_fraction": "share of the text to train on; the rest validates",
    "context": "tokens in a window (default: n_positions, at most 256)",
    "stride": "tokens between the starts of two training windows (default: a quarter of the context)",
    "accumulate": "batches whose gradients make one update",
    "adam_eps": "what keeps rare tokens from moving as far as frequent ones, when it is large",
    "schedule": "cosine, with warm-up, or constant",
    "init": "how weights start: gpt2, or torch for PyTorch's own",
    "untied": "give the output layer weights of its own",
    "eval_every": "steps between two looks at the losses, each with a sample (default: 20, losses more often)",
    "eval_batches": "batches that a look takes from each part",
    "prompt": "what the samples continue",
    "sample_temperature": "how freely samples are drawn; 0 is greedy",
    "sample_top_k": "draw samples from the K most likely tokens; 0 means all",
    "mine": "build everything from your own solutions",
    "fast": "fused attention and loss, on the same parameters",
    "low_memory": "update each weight as soon as its gradient is there; needs --grad-clip 0",
    "compile": "torch.compile; pays on long runs",
}
_MAY_CHANGE = {
    "epochs",
    "eval_every",
    "eval_batches",
    "prompt",
    "sample_tokens",
    "sample_temperature",
    "sample_top_k",
}  # in a resumed run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", choices=[*PRESETS], help="shape of the model (default: story, on a GPU small)"
    )
    parser.add_argument("--dropout", type=float, metavar="P", help="all three rates at once")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="PLACE",
        help="start from these weights: a folder or a hub name",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with a run (default: the last one)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where the run is kept (default: checkpoints/NAME)"
    )
    parser.add_argument("--device", help="cpu, cuda or mps (default: what there is)")
    for group, names in {
        "training": _own_flags(),
        "shape of the model": list(_CONFIG_FLAGS),
    }.items():
        section = parser.add_argument_group(group)
        for name in names:
            _add_flag(section, name)


def _own_flags() -> list[str]:
    return [f.name for f in fields(Settings) if f.name != "source"]


def _add_flag(section: Any, name: str) -> None:
    flag, default = "--" + name.replace("_", "-"), getattr(Settings, name, None)
    if isinstance(default, bool):
        section.add_argument(flag, action="store_true", default=None, help=_HELP.get(name))
        return
    kind: type = _CONFIG_FLAGS.get(name) or type(default)
    said = _HELP.get(name, "")
    if default not in (None, "") and "default" not in said:
        said = f"{said} (default {default})".strip()
    choices = {"schedule": ("cosine", "constant"), "init": ("gpt2", "torch")}.get(name)
    metavar = None if choices else kind.__name__.upper()
    section.add_argument(flag, type=kind, metavar=metavar, choices=choices, help=said)


@dataclass(frozen=True)
class Plan:
    """What is asked for, checked before torch is imported and before anything is written."""

    settings: Settings
    config: GPT2Config
    run: Path
    checkpoint: Path | None  # where a resumed run goes on


def run(args: argparse.Namespace) -> int:
    """Train, and leave plot, history and checkpoint."""
    plan = resumed(args) if args.resume is not None else begun(args, gpu=False)
    require_text(plan.settings.text)
    if args.device and not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", args.device):
        raise UsageError(f"--device {args.device} cannot be used here: there are cpu, cuda and mps")
    import torch

    from common.train.distributed import world
    from common.train.memory import keep_freed_memory

    device = _device(args.device, torch)
    if args.resume is None and device.type == "cuda":  # a larger model is the default there
        plan = begun(args, gpu=True)
    with world() as processes:
        try:
            trainer = trainer_of(plan, device, processes)
            if not trainer.settings.low_memory:  # kept memory is time won
                keep_freed_memory()
            return _train(trainer, new=plan.checkpoint is None)
        except (RuntimeError, ValueError) as error:
            if processes.ranks == 1:
                raise
            raise CourseError(
                f"process {processes.rank} of {processes.ranks} stops ({str(error).splitlines()[0]}); "
                "the last checkpoint is whole, and --resume goes on from it"
            ) from error


def resumed(args: argparse.Namespace) -> Plan:
    """The plan of a run that goes on.

    Raises:
        CourseError: there is none, or it is damaged. UsageError: another option than it began with.
    """
    place = _existing(args.resume)
    folder = runs.pointed(place, "last")
    if folder is None:
        raise CourseError(f"there is no checkpoint in {shown(place)} to resume")
    given = _given(args)
    other = [f"--{name.replace('_', '-')}" for name in sorted(set(given) - _MAY_CHANGE)]
    other += [f"--{name}" for name in ("size", "dropout", "out") if getattr(args, name) is not None]
    other += ["--from"] if args.source else []
    other += [f"--{n.replace('_', '-')}" for n in _CONFIG_FLAGS if getattr(args, n) is not None]
    if other:
        raise UsageError(f"--resume keeps the settings of the run; {other[0]} cannot change")
    settings = replace(runs.read_state(folder).settings, **given)
    return Plan(settings, runs.read_config(folder), place, folder)


def begun(args: argparse.Namespace, *, gpu: bool) -> Plan:
    """The plan of a new run.

    Raises:
        UsageError: a value that cannot be.
    """
    config, given = _config(args, gpu=gpu), _given(args)
    context = given.get("context", min(config.n_positions, 256))
    if context > config.n_positions:
        raise UsageError(
            f"--context {context} is longer than the model's {config.n_positions} positions (--n-positions)"
        )
    settings = replace(Settings(), **given | {"context": context, "source": args.source or ""})
    name = Path(settings.text).stem + ("-mine" if settings.mine else "")
    return Plan(settings, config, Path(args.out).resolve() if args.out else runs.RUNS / name, None)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in _own_flags() if (value := getattr(args, name)) is not None}


def trainer_of(plan: Plan, device: torch.device, processes: World) -> Trainer:
    """Model, data and optimizer of a plan, ready to train."""
    from common.train import data
    from common.train.loop import Trainer
    from common.train.parts import FOUNDATION, PRETRAINED, parts

    settings = plan.settings
    numbers = (*FOUNDATION, *((PRETRAINED,) if settings.source else ()))
    chosen = parts(mine=settings.mine, numbers=numbers)
    share = data.load(settings, chosen, rank=processes.rank, ranks=processes.ranks)
    trainer = Trainer(settings, plan.config, chosen, share, plan.run, device, processes)
    if plan.checkpoint is not None:
        trainer.resume(plan.checkpoint)
    return trainer


def _train(trainer: Trainer, *, new: bool) -> int:
    from common.cli.train_view import View

    leads = trainer.world.leads
    if new and leads and (old := runs.set_aside(trainer.run)):
        print(f"The earlier run is kept as {shown(old)}.", file=sys.stderr)
    view = View(trainer) if leads else None
    if view:
        trainer.listener = view.listener()
        view.begin()
    try:
        trainer.train()
    finally:
        if view:
            view.end()
    if view:
        view.summary()
    return 130 if trainer.stopped else 0


def _config(args: argparse.Namespace, *, gpu: bool) -> GPT2Config:
    base = PRESETS[args.size or ("small" if gpu else "story")]
    if args.source:
        local = Path(args.source).expanduser()
        if (local / "config.json").is_file():
            base = runs.read_config(local)
        elif args.size is None:  # a name on the hub: gpt2, gpt2-medium, ...
            base = PRESETS.get(args.source.removeprefix("gpt2-"), PRESETS["small"])
    shape: dict[str, Any] = asdict(base)
    if args.dropout is not None:
        shape |= dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), args.dropout)
    shape |= {name: value for name in _CONFIG_FLAGS if (value := getattr(args, name)) is not None}
    if args.n_embd is not None and args.n_inner is None:
        shape.pop("n_inner", None)
    try:
        return GPT2Config(**shape)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None


def _device(name: str | None, torch: Any) -> torch.device:
    if name:
        try:
            device = torch.device(name)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(
                f"--device {name} cannot be used here ({str(error).splitlines()[0]})"
            ) from None
        return device
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _existing(run: str) -> Path:
    if not run:
        return runs.latest_run(to_resume=True)
    return next((p for p in (Path(run), runs.RUNS / run) if p.is_dir()), Path(run))
