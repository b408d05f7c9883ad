"""gpt2 export: a folder that transformers loads."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from common.course.catalogue import shown
from common.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="where to write; must be new or empty")
    parser.add_argument(
        "--from", dest="source", metavar="PLACE", help="a run, a folder or a hub name (default: the last run)"
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write config.json, model.safetensors and the tokenizer's two files."""
    folder = Path(args.folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not empty: name a new folder")
    from common.cli.generate import load_model, place_of

    place = place_of(args.source)
    from common.text.tokenizer import packaged_vocabulary
    from common.train.checkpoint import write_weights
    from common.train.parts import parts

    model = load_model(place, parts(mine=False))
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        write_weights(aside, model, model.config)
        if files := packaged_vocabulary():
            shutil.copyfile(files / "encoder.json", aside / "vocab.json")
            shutil.copyfile(files / "vocab.bpe", aside / "merges.txt")
        if folder.exists():
            folder.rmdir()
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    print(f"{shown(folder)} holds {', '.join(sorted(p.name for p in folder.iterdir()))}.")
    print(f'transformers.GPT2LMHeadModel.from_pretrained("{folder}") loads it.')
    return 0
