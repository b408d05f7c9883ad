"""The training loop: steps that can be taken up anywhere, looks at both losses, checkpoints in between."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.config import GPT2Config
from common.errors import CourseError
from common.train import checkpoint, looking, runs
from common.train.compiling import Trial, can_compile
from common.train.curve import SAMPLES_EVERY, looks_every
from common.train.data import Data
from common.train.distributed import World
from common.train.fast_loss import agrees
from common.train.fused import causal, fused
from common.train.losses import FastLoss, Loss, PlainLoss
from common.train.memory import step_in_backward
from common.train.pace import Pace
from common.train.parts import PRETRAINED, Parts
from common.train.runs import Record, State
from common.train.settings import Settings


@dataclass
class Listener:
    """What a run tells whoever watches it; each is called in the leading process only."""

    step: Callable[[int, float, float], None] = lambda step, loss, rate: None
    record: Callable[[Record, str], None] = lambda record, sample: None
    note: Callable[[str], None] = lambda text: None


@dataclass
class Trainer:
    """A model, its data, and where its checkpoints go."""

    settings: Settings
    config: GPT2Config
    parts: Parts
    data: Data
    run: Path
    device: torch.device
    world: World = field(default_factory=World)
    listener: Listener = field(default_factory=Listener)

    def __post_init__(self) -> None:
        self.stopped = False  # set by Ctrl-C: finish the step, save, leave
        self.state = State(0, self.settings, self.total_steps)
        self.history: list[Record] = []
        self.recent: list[float] = []  # losses of the batches since the last look
        torch.manual_seed(self.settings.seed)
        self.model = build(self.settings, self.config, self.parts).to(self.device)
        groups = self.parts(16, "optimizer_groups")(self.model, self.settings.weight_decay)
        batches = looking.batches(self.data, self.settings.eval_batches)
        often = self.settings.eval_every
        self.pace = Pace(
            self.total_steps,
            often or looks_every(self.total_steps, batches),
            often or SAMPLES_EVERY,
        )
        fused = self.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=self.settings.lr,
            betas=(0.9, self.settings.beta2),
            eps=self.settings.adam_eps,
            fused=fused,
        )
        if self.settings.low_memory:
            if self.world.ranks > 1:
                raise CourseError("--low-memory works in a single process only")
            step_in_backward(self.optimizer)
        torch.manual_seed(
            self.settings.seed + 1 + self.world.rank
        )  # dropout, its own in each process
        if self.settings.source:
            self._start_from(self.settings.source)

    @property
    def total_steps(self) -> int:
        return self.settings.epochs * self.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        return max(self.data.batches // self.settings.accumulate, 1)

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint as if nothing had happened."""
        self.state = runs.read_state(folder)
        self.state.settings, self.state.total = self.settings, self.total_steps
        checkpoint.restore(folder, self.model, self.optimizer)
        if not self.world.leads:  # the kept state is the leading process's
            torch.manual_seed(self.settings.seed + 7919 * self.state.step + self.world.rank)
        records = runs.read_history(self.run)
        self.history = [r for r in records if r["step"] <= self.state.step]

    def train(self) -> list[Record]:
        """Train to the end, or until stopped.

        Returns:
            A record for each look, the first at step 0: epoch, step, tokens_seen, train_loss, val_loss,
            batch_losses since the one before, seconds, sample, kept (as a checkpoint).
        """
        loss_of = self._loss_function()
        rate_of = self._rates()
        self.model.train()
        with self._stop_on_interrupt(), contextlib.ExitStack() as fast:
            if self.settings.fast:
                fast.enter_context(fused(self.model, causal(self.model)))
            self._steps(loss_of, rate_of)
            if self.state.step < self.total_steps:
                self._save(best=False)
        return self.history

    def _steps(
        self, loss_of: Callable[[Tensor, Tensor], Tensor], rate_of: Callable[[int], float]
    ) -> None:
        begun = time.monotonic() - self.state.seconds
        # With several processes all would have to decide alike.
        undecided = self.settings.fast and not self.settings.compile and self.world.ranks == 1
        trial = Trial() if undecided and can_compile(self.device.type) else None
        if self.state.step == 0:
            self.look()
        while self.state.step < self.total_steps and not self.world.any(self.stopped):
            rate = rate_of(self.state.step + 1)
            before = time.monotonic()
            loss = self._update(loss_of, rate)
            self.state.step += 1
            self.recent.append(loss)
            self.pace.steps.append(time.monotonic() - before)
            if trial:
                self._decide(trial, self.pace.steps[-1])
            self.state.seconds = time.monotonic() - begun
            if self.world.leads:
                self.listener.step(self.state.step, loss, rate)
            last = self.state.step == self.total_steps
            if self.state.step % self.pace.looks_every == 0 or last:
                self.look()

    def _decide(self, trial: Trial, seconds: float) -> None:
        """Compile the layers, or stop doing so, as the time of the steps says."""
        wanted, note = trial.after(seconds, self.total_steps - self.state.step)
        if note:
            self.listener.note(note)
        if wanted != self.settings.compile:
            self.loss.compile_layers(wanted)
            self.settings = self.state.settings = replace(self.settings, compile=wanted)

    def _update(self, loss_of: Callable[[Tensor, Tensor], Tensor], rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        parts = self.settings.accumulate
        for k in range(parts):
            inputs, targets = self._to_device(self.data.batch(self.state.step * parts + k))
            # Gradients travel between processes once for each update, with its last part.
            together = k == parts - 1 or self.world.ranks == 1
            with contextlib.nullcontext() if together else self.shared.no_sync():
                loss = loss_of(inputs, targets) / parts
                loss.backward()
            total += loss.detach()
            self.state.tokens += targets.numel() * self.world.ranks
        if self.settings.grad_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        if not self.settings.low_memory:  # there backward() has done it
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return float(total)

    def _to_device(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if self.device.type != "cuda":
            return batch[0].to(self.device), batch[1].to(self.device)
        inputs, targets = (part.pin_memory().to(self.device, non_blocking=True) for part in batch)
        return inputs, targets

    def _loss_function(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of one batch: by the model's own forward, or by the fast path on its parameters."""
        if self.settings.fast:
            inputs, targets = self._to_device(self.data.batch(0))
            try:
                off = agrees(self.model, inputs[:1], targets[:1])
            except (AttributeError, RuntimeError, ValueError) as error:
                raise CourseError(
                    f"--fast does not fit this model ({error}); leave it out"
                ) from None
            self.listener.note(f"fast path: its loss and the model's own differ by {off:.1g}")
            self.loss: Loss = FastLoss(self.model)
        else:
            self.loss = PlainLoss(self.model, self.parts(12, "language_model_loss"))
        self.loss.compile_layers(self.settings.compile)
        self.shared: Any = self.world.share(self.loss)
        precise = self.device.type == "cpu" or self.device.type == "mps"

        def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=not precise):
                return self.shared(inputs, targets)

        return loss_of

    def _rates(self) -> Callable[[int], float]:
        s = self.settings
        if s.schedule == "constant":
            return lambda step: s.lr
        of = self.parts(16, "learning_rate")
        warmup = min(s.warmup, self.total_steps)
        return lambda step: of(step, s.lr, s.min_lr, warmup, self.total_steps)

    def whole(self, step: int) -> bool:
        """Whether a look after that step has a sample and a checkpoint besides the losses."""
        return step % self.pace.samples_every == 0 or step == self.total_steps

    def look(self) -> None:
        """Evaluate, write a sample, save: in the leading process, while the others wait."""
        if self.world.leads:
            begun, step, whole = time.monotonic(), self.state.step, self.whole(self.state.step)
            found = looking.losses(self.model, self.data, self.settings, self.parts)
            self.pace.looks.append(time.monotonic() - begun)
            sample = whole and looking.sample(self.model, self.settings, self.parts, self.device)
            self.model.train()
            record: Record = {
                "epoch": (max(step, 1) - 1) // self.steps_per_epoch + 1,
                "step": step,
                "tokens_seen": self.state.tokens,
                **found,
                "batch_losses": [round(loss, 4) for loss in self.recent],
                "seconds": round(self.state.seconds, 3),
                "sample": sample or "",
                # What has learnt nothing is no checkpoint; more of them would cost more than the looks.
                "kept": whole and step > 0,
            }
            self.recent = []
            self.history.append(record)
            self.listener.record(record, record["sample"])
            runs.write_history(self.run, self.history)
            if record["kept"]:
                better = record["val_loss"] < self.state.best
                self.state.best = min(self.state.best, record["val_loss"])
                self._save(best=better)
            if whole:
                self.pace.samples.append(time.monotonic() - begun - self.pace.looks[-1])
        self.world.wait()

    def _save(self, *, best: bool) -> None:
        if self.world.leads:
            checkpoint.save(
                self.run, self.model, self.config, self.optimizer, self.state, best=best
            )

    def _start_from(self, source: str) -> None:
        from_pretrained = self.parts(PRETRAINED, "from_pretrained")
        self.model.load_state_dict(from_pretrained(source).state_dict())

    @contextlib.contextmanager
    def _stop_on_interrupt(self) -> Generator[None]:
        def stop(*_: object) -> None:
            if self.stopped:  # the second time: at once, with the last checkpoint
                raise KeyboardInterrupt
            self.stopped = True

        try:
            before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def build(settings: Settings, config: GPT2Config, parts: Parts) -> nn.Module:
    """A new model as the settings want it."""
    model: Any = parts(10, "GPT2Model")(_own_config(config, parts))
    if settings.untied:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    if settings.init == "gpt2":
        parts(11, "init_weights")(model)
    elif settings.untied:
        model.lm_head.reset_parameters()  # as a new nn.Linear starts
    return model


def _own_config(config: GPT2Config, parts: Parts) -> Any:
    """The same fields in the class of problem 09, which is the learner's own with --mine."""
    return parts(9, "GPT2Config")(**asdict(config))
