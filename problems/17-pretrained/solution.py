"""Pretrained weights: from Hugging Face's two files to a GPT2Model that answers as theirs does.

Shapes: C n_embd, V vocab_size, P n_positions, F n_inner.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from common import problem

GPT2Config = problem(9).GPT2Config
GPT2Model = problem(10).GPT2Model

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def convert_hf_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a state dict of Hugging Face's GPT-2 into one for GPT2Model.

    Args:
        state_dict: names with or without `transformer.`; it and its tensors stay as they are.

    Returns:
        Exactly the names of GPT2Model's state dict, `lm_head.weight` included.

    Raises:
        ValueError: a key is unknown or missing, or the head is not `wte`; the message names the key.
    """
    # TODO(17): about 20 lines, helpers included. names -> unknown, missing -> transposes -> head
    raise NotImplementedError("problem 17: convert_hf_state_dict")


def from_pretrained(name_or_path: str | Path) -> GPT2Model:
    """Load a GPT-2 that was saved in Hugging Face's format.

    Args:
        name_or_path: a folder with config.json and model.safetensors, or a name on the hub.

    Returns:
        The model in float32, in eval mode.

    Raises:
        ValueError: a file is missing or damaged, the config asks for what GPT2Model is not, or
            config and weights disagree; the message names the file, field or key.
    """
    # TODO(17): about 40 lines, helpers included. two files -> config -> weights -> model in eval mode
    raise NotImplementedError("problem 17: from_pretrained")


def _fetch(name: str) -> list[Path]:
    """The paths of the two files in the hub's cache, where a download puts them if need be."""
    try:
        from huggingface_hub import hf_hub_download  # only here: a local folder needs no hub

        try:
            # Asked first, as a call that may use the network takes 24 s to find out it has none.
            return [
                Path(hf_hub_download(name, file, local_files_only=True))
                for file in (CONFIG, WEIGHTS)
            ]
        except OSError:
            return [Path(hf_hub_download(name, file)) for file in (CONFIG, WEIGHTS)]
    except Exception as error:  # no such name, no network, no hub package: one way out for all
        raise ValueError(
            f"{name!r} is no folder here, and the hub did not give it ({type(error).__name__}): "
            f"put its {CONFIG} and {WEIGHTS} into a folder and give that folder's path"
        ) from error
