"""One process or several: torchrun starts them, and each sees its own share of every batch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

_PATIENCE = timedelta(minutes=5)  # how long a process waits for another before it gives up


@dataclass(frozen=True)
class World:
    """This process among all: rank 0 prints, evaluates and writes."""

    rank: int = 0
    ranks: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, model: nn.Module) -> nn.Module:
        """The model to call: gradients are averaged over the processes behind the scenes."""
        if self.ranks == 1:
            return model
        return nn.parallel.DistributedDataParallel(model)

    def wait(self) -> None:
        """Until all are here."""
        if self.ranks > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all get the same answer."""
        if self.ranks == 1:
            return flag
        said = torch.tensor([float(flag)])
        if dist.get_backend() == "nccl":
            said = said.cuda()
        dist.all_reduce(said)
        return bool(said.item())


@contextlib.contextmanager
def world() -> Generator[World]:
    """The processes that torchrun started, joined for the block; a single one without it."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks == 1:
        yield World()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available() and torch.cuda.device_count() > local
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield World(dist.get_rank(), ranks, local)
    finally:
        dist.destroy_process_group()
