"""What a training run looks like in a terminal."""

from __future__ import annotations

import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.course.catalogue import shown
from common.judging.report import wrapped
from common.shell import gpt2
from common.text.visible import visible
from common.train.curve import best, overfitting
from common.train.loop import Listener, Trainer
from common.train.pace import FEW, duration
from common.train.plot import chart, save_plot
from common.train.pulse import Beat


class View:
    """A progress bar below, a line and a sample for each look at the losses above it.

    Args:
        within: seconds after which whoever shows it will end the run.
    """

    def __init__(self, trainer: Trainer, *, within: float = math.inf) -> None:
        self.trainer, self.within = trainer, within
        self.begun = time.monotonic()
        self.first_step = trainer.state.step
        self.first_tokens = trainer.state.tokens
        self.beat, self.loss = Beat(trainer.run), float("nan")
        self.warned = False  # of over-fitting

    def listener(self) -> Listener:
        return Listener(self.on_step, self.on_record, note=self.say)

    def begin(self) -> None:
        """Say what is trained on what, and open the bar."""
        t = self.trainer
        size = sum(p.numel() for p in t.model.parameters())
        whose = "your own GPT-2" if t.settings.mine else "GPT-2"
        shape = f"{t.config.n_layer} layers, width {t.config.n_embd}, {t.config.n_head} heads"
        self.say(f"{whose}: {size:,} parameters ({shape}) on {t.device}")
        tokens = t.settings.context * len(t.data.train)
        self.say(
            f"{t.settings.text}: {len(t.data.train)} windows of {t.settings.context} tokens to train on "
            f"({tokens:,} in all), {len(t.data.val)} to validate; {t.total_steps} steps"
        )
        if t.state.step:
            self.say(f"going on from step {t.state.step}")
        self.bar = tqdm(
            total=t.total_steps, initial=t.state.step, unit="step", disable=not sys.stderr.isatty(),
            dynamic_ncols=True, leave=False, bar_format="{l_bar}{bar}| {n}/{total} [{elapsed}<{remaining}{postfix}]",
        )  # fmt: skip

    def on_step(self, step: int, loss: float, rate: float) -> None:
        """One more step."""
        self.loss = loss
        left = self.trainer.pace.left(step)
        self.beat.tell(step, self.trainer.total_steps, loss, self.speed(), left=left)
        if step - self.first_step == FEW and left:
            self._say_how_long(time.monotonic() - self.begun + left)
        self.bar.set_postfix_str(f"loss {loss:.3f}, {self.speed():,.0f} tokens/s", refresh=False)
        self.bar.update(1)

    def _say_how_long(self, seconds: float) -> None:
        way_out = "Ctrl-C stops it"
        if seconds > self.within:
            way_out = f"it is stopped after {duration(self.within)}"
        self.say(
            f"{FEW} steps done, which count: the whole takes about {duration(seconds)} on this "
            f"machine; {way_out}"
        )

    def on_record(self, record: dict[str, Any], sample: str) -> None:
        """One more look at the losses; those without a sample are for the curve alone."""
        if sample or self.trainer.whole(record["step"]):
            self._tell(record, sample)
        told = "" if self.warned else overfitting(self.trainer.history)
        if told:
            self.warned = True
            self.say(told)

    def _tell(self, record: dict[str, Any], sample: str) -> None:
        self.say(
            f"Epoch {record['epoch']}/{self.trainer.settings.epochs}, Step {record['step']}, "
            f"Train loss: {record['train_loss']:.4f}, Val loss: {record['val_loss']:.4f}"
        )
        if sample:
            self.say(f"    {on_a_line(sample)}")

    def speed(self) -> float:
        """Tokens a second, evaluations included."""
        spent = time.monotonic() - self.begun
        return (self.trainer.state.tokens - self.first_tokens) / max(spent, 1e-9)

    def say(self, text: str) -> None:
        """A line above the bar."""
        if sys.stdout.isatty():
            text = "\n".join(wrapped(text, shutil.get_terminal_size().columns - 1))
        tqdm.write(text)
        sys.stdout.flush()

    def end(self) -> None:
        """Close the bar, and tell whoever watches that it is over."""
        t = self.trainer
        over = "finished" if t.state.step >= t.total_steps else "stopped"
        self.beat.tell(t.state.step, t.total_steps, self.loss, self.speed(), left=0.0, over=over)
        if hasattr(self, "bar"):
            self.bar.close()

    def summary(self) -> None:
        """The curves, and where everything lies."""
        t = self.trainer
        if t.stopped and t.state.step < t.total_steps:
            print(
                f"stopped after step {t.state.step} of {t.total_steps}; {gpt2('train --resume')} goes on"
            )
        if not t.history:
            return
        print()
        print("\n".join(chart(t.history)))
        picture = t.run / "loss.png"
        save_plot(t.history, t.steps_per_epoch, picture, Path(t.settings.text).stem)
        low = best(t.history)
        print(
            f"\nbest validation loss {low['val_loss']:.4f} at step {low['step']}; "
            f"{t.state.seconds:.0f} s, {self.speed():,.0f} tokens/s"
        )
        if told := overfitting(t.history):
            print(told)
        print(f"curves      {shown(picture)}\nhistory     {shown(t.run / 'history.jsonl')}")
        print(f"checkpoint  {shown(t.run)}  (the best and the last)")
        print(f'next        {gpt2("generate")} --prompt "My name is"')


def on_a_line(sample: str) -> str:
    """What a model wrote, on one line: a new one may write anything, codes that move the cursor included."""
    return visible(" ".join(sample.split()))
