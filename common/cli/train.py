"""gpt2 train: a text in, a GPT-2 that has read it out."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.catalogue import ROOT, shown
from common.config import GPT2Config
from common.errors import CourseError, UsageError
from common.train.settings import PRESETS, Settings

if TYPE_CHECKING:
    import torch

    from common.train.distributed import World
    from common.train.loop import Trainer

RUNS = ROOT / "checkpoints"
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
    "eval_every": "steps between two looks at the losses",
    "eval_batches": "batches that a look takes from each part",
    "prompt": "what the samples continue",
    "mine": "build everything from your own solutions",
    "fast": "fused attention and loss, on the same parameters",
    "label_smoothing": "share of each target that goes to all tokens alike",
    "low_memory": "update each weight as soon as its gradient is there; needs --grad-clip 0",
    "compile": "torch.compile; pays on long runs",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", choices=PRESETS, help="shape of the model (default: story, on a GPU small)"
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


def _add_flag(section: argparse._ArgumentGroup, name: str) -> None:
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


def run(args: argparse.Namespace) -> int:
    """Train, and leave plot, history and checkpoint."""
    import torch

    from common.fast.memory import keep_freed_memory
    from common.train.distributed import world

    device = _device(args.device, torch)
    with world() as processes:
        try:
            trainer = _prepare(args, device, processes)
            if not trainer.settings.low_memory:  # kept memory is time won
                keep_freed_memory()
            return _train(trainer)
        except (RuntimeError, ValueError) as error:
            if processes.ranks == 1:
                raise
            raise CourseError(
                f"process {processes.rank} of {processes.ranks} stops ({str(error).splitlines()[0]}); "
                "the last checkpoint is whole, and --resume goes on from it"
            ) from error


def _prepare(args: argparse.Namespace, device: torch.device, processes: World) -> Trainer:
    from common.train import checkpoint, data
    from common.train.loop import Trainer
    from common.train.parts import FOUNDATION, LATER, parts

    given = {name: value for name in _own_flags() if (value := getattr(args, name)) is not None}
    folder: Path | None = None
    if args.resume is not None:
        run = _existing(args.resume)
        folder = checkpoint.pointed(run, "last")
        if folder is None:
            raise CourseError(f"there is no checkpoint in {shown(run)} to resume")
        allowed = {"epochs", "eval_every", "eval_batches", "prompt", "sample_tokens"}
        if other := sorted(set(given) - allowed):
            raise UsageError(
                f"--resume keeps the settings of the run; --{other[0].replace('_', '-')} cannot change"
            )
        settings = replace(checkpoint.read_state(folder).settings, **given)
        config = checkpoint_config(folder)
    else:
        config = _config(args, device)
        context = given.get("context", min(config.n_positions, 256))
        if context > config.n_positions:
            raise UsageError(
                f"--context {context} is longer than the model's {config.n_positions} positions (--n-positions)"
            )
        settings = replace(Settings(), **given | {"context": context, "source": args.source or ""})
        run = Path(args.out).resolve() if args.out else RUNS / _name(settings)
        if processes.leads:
            _make_room(run)
    chosen = parts(mine=settings.mine, numbers=FOUNDATION + (LATER if settings.source else ()))
    share = data.load(settings, chosen, rank=processes.rank, ranks=processes.ranks)
    trainer = Trainer(settings, config, chosen, share, run, device, processes)
    if folder is not None:
        trainer.resume(folder)
    return trainer


def _train(trainer: Trainer) -> int:
    from common.cli.train_view import View

    leads = trainer.world.leads
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


def checkpoint_config(folder: Path) -> GPT2Config:
    """The shape that a config.json describes."""
    import json

    try:
        data: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return GPT2Config(**{name: data[name] for name in _CONFIG_FLAGS if name in data})
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"{folder / 'config.json'} cannot be read ({error})") from None


def _config(args: argparse.Namespace, device: torch.device) -> GPT2Config:
    size = args.size or ("small" if device.type == "cuda" else "story")
    base = PRESETS[size]
    if args.source:
        local = Path(args.source).expanduser()
        if (local / "config.json").is_file():
            base = checkpoint_config(local)
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
    from common.train.checkpoint import latest_run

    if not run:
        return latest_run(RUNS)
    return next((p for p in (Path(run), RUNS / run) if p.is_dir()), Path(run))


def _name(settings: Settings) -> str:
    return Path(settings.text).stem + ("-mine" if settings.mine else "")


def _make_room(run: Path) -> None:
    """An earlier run of the same name is set aside, not lost."""
    if not (run / "last").exists():
        run.mkdir(parents=True, exist_ok=True)
        return
    number = 1
    while (old := run.with_name(f"{run.name}.{number}")).exists():
        number += 1
    shutil.move(run, old)
    print(f"The earlier run is kept as {shown(old)}.", file=sys.stderr)
    run.mkdir(parents=True)
