"""How fast GPT-2 is here, against transformers (sdpa) and a plain model, in one process: same torch, threads, type.

    python benchmarks/model.py [--rounds 5] [--only NAME ...] [--threads N]

Training is forward + backward + AdamW; rounds of the two alternate, and the ratio of each pair is printed as
median, minimum and maximum. Beside it: the share of this machine's measured matrix-multiply peak (training) and
memory bandwidth (generation). Peak memory is that of a process of its own, three updates long; "updates in
backward" is `gpt2 train --fast --low-memory`.

Our trainer asks the C library to keep freed memory, which others leave as it is; --both keeps it for them too.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from common import GPT2Config, problem
from common.train.decode import stream
from common.train.fast_loss import fast_loss
from common.train.fused import causal, fused
from common.train.memory import keep_freed_memory, step_in_backward


@dataclass(frozen=True)
class Case:
    name: str
    config: GPT2Config
    batch: int
    length: int
    goal: float


def shape(**sizes: int) -> GPT2Config:
    return GPT2Config(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0, **sizes)


SMALL = {"n_positions": 128, "n_embd": 256, "n_layer": 4, "n_head": 4}
CASES = [
    Case("gpt2-small", shape(), 2, 256, 1.25),
    Case("4x256, V 50257", shape(**SMALL), 8, 128, 1.1),
    Case("4x256, V 100", shape(vocab_size=100, **SMALL), 8, 128, 1.1),
]


def ours(config: GPT2Config) -> torch.nn.Module:
    torch.manual_seed(0)
    model = problem(10).GPT2Model(config)
    problem(11).init_weights(model)
    return model


def theirs(config: GPT2Config) -> torch.nn.Module:
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    own: dict[str, Any] = asdict(config) | {"n_inner": None, "attn_implementation": "sdpa"}
    return GPT2LMHeadModel(TheirConfig(**own))


class Plain(torch.nn.Module):
    """GPT-2 as most people write it: torch's own layers, fused attention, the exact GELU, which is the cheaper one."""

    class Block(torch.nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
            self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
            self.up, self.down = (
                torch.nn.Linear(width, 4 * width),
                torch.nn.Linear(4 * width, width),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = (
                part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for part in self.qkv(self.ln_1(x)).split(x.size(-1), dim=-1)
            )
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).flatten(2))
            return x + self.down(F.gelu(self.up(self.ln_2(x))))

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = torch.nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = torch.nn.Embedding(config.n_positions, config.n_embd)
        self.blocks = torch.nn.Sequential(
            *(Plain.Block(config.n_embd, config.n_head) for _ in range(config.n_layer))
        )
        self.ln_f = torch.nn.LayerNorm(config.n_embd)
        self.head = torch.nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.size(1)))
        return self.head(self.ln_f(self.blocks(x)))


MAKERS = {"ours": ours, "transformers": theirs, "plain": Plain}


def trainer(
    which: str, case: Case, *, within: bool = False, compiled: bool = False
) -> Callable[[], float]:
    """One update; returns its seconds.

    Args:
        within: backward() updates each parameter and frees its gradient.
        compiled: the layers of ours go through torch.compile.
    """
    torch.manual_seed(0)
    model: Any = MAKERS[which](case.config).train()
    if which == "ours":
        fused(model, causal(model)).__enter__()  # for as long as the process lives
    layers = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    if within:
        step_in_backward(optimizer)
    ids = torch.randint(case.config.vocab_size, (case.batch, case.length + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> float:
        begun = time.perf_counter()
        if which == "ours":
            loss = fast_loss(model, inputs, targets, layers)
        else:
            out = model(inputs) if which == "plain" else model(inputs, use_cache=False).logits
            loss = F.cross_entropy(out.flatten(0, 1), targets.flatten())
        loss.backward()
        if not within:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begun

    return step


def writer(which: str) -> Callable[[], float]:
    """128 greedy tokens after 16, one row; returns its seconds."""
    config = shape()
    model: Any = (ours if which == "ours" else theirs)(config).eval()
    prompt = torch.randint(config.vocab_size, (1, 16))

    def write() -> float:
        begun = time.perf_counter()
        with torch.no_grad():
            if which == "ours":
                for _ in stream(model, prompt, 128, config.n_positions):
                    pass
            else:
                exactly = {"min_new_tokens": 128, "max_new_tokens": 128, "do_sample": False}
                seen = torch.ones_like(prompt)
                model.generate(
                    prompt, attention_mask=seen, use_cache=True, pad_token_id=50256, **exactly
                )
        return time.perf_counter() - begun

    return write


def compare(
    once: dict[str, Callable[[], float]], rounds: int, repeat: int, *, both: bool
) -> tuple[list[float], float]:
    """The ratios theirs / ours of alternating rounds, and the median seconds of ours.

    Args:
        both: freed memory is kept for both, else for ours only, as our trainer does it.
    """
    pairs = []
    for number in range(rounds):
        spent = {}
        for who in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
            keep_freed_memory(both or who == "ours")
            once[who]()  # fills what the other has emptied
            spent[who] = min(once[who]() for _ in range(repeat))
        pairs.append((spent["ours"], spent["theirs"]))
    return [b / a for a, b in pairs], statistics.median(a for a, _ in pairs)


def matmul_peak() -> float:
    """Operations a second of the best float32 matrix product tried."""
    best = 0.0
    for n in (1024, 1536, 2048):
        a, b = torch.randn(n, n), torch.randn(n, n)
        for _ in range(4):
            begun = time.perf_counter()
            a @ b
            best = max(best, 2 * n**3 / (time.perf_counter() - begun))
    return best


def bandwidth() -> float:
    """Bytes a second read by the sum of a tensor too large for any cache, with all threads."""
    tensor = torch.ones(1 << 27)
    best = 0.0
    for _ in range(8):
        begun = time.perf_counter()
        tensor.sum()
        best = max(best, tensor.numel() * 4 / (time.perf_counter() - begun))
    return best


def operations(case: Case) -> float:
    """Multiplications and additions of one update: 6 for each weight and token, and attention's own."""
    c, tokens = case.config, case.batch * case.length
    weights = 12 * c.n_layer * c.n_embd**2 + c.vocab_size * c.n_embd
    return 6 * weights * tokens + 6 * c.n_layer * case.batch * case.length**2 * c.n_embd


def peak_memory(which: str, case: Case, threads: int) -> float:
    """Megabytes at the peak of three updates, in a process of its own."""
    command = [sys.executable, __file__, "--memory", which, case.name, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def highest() -> float:
    """Megabytes that this process has held at most."""
    try:  # getrusage would count what the parent held before this program took its place
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def line(name: str, ratios: Sequence[float], goal: float, rest: str) -> None:
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(
        f"{name:<36} {middle:5.2f}  ({low:.2f} to {high:.2f})  goal {goal:g}   {rest}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="train, generate, memory")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--both", action="store_true", help="freed memory is kept for the others too"
    )
    parser.add_argument("--memory", nargs=2, metavar=("WHO", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory:
        who, name = args.memory
        case = next(c for c in CASES if c.name == name)
        step = trainer(who.partition("-")[0], case, within=who == "ours-within")
        if who == "ours":
            keep_freed_memory()
        for _ in range(3):
            step()
        print(highest())
        return
    only = set(args.only or ("train", "generate", "memory"))
    print(
        f"torch {torch.__version__}, {args.threads} threads, {args.rounds} rounds; ratios are theirs / ours"
    )
    if "train" in only:
        peak = matmul_peak()
        for case in CASES:
            repeat = 1 if case.name == "gpt2-small" else 3
            for other, compiled in (("plain", False), ("plain", True), ("transformers", False)):
                once = {
                    "ours": trainer("ours", case, compiled=compiled),
                    "theirs": trainer(other, case),
                }
                ratios, seconds = compare(once, args.rounds, repeat, both=args.both)
                peak = max(peak, matmul_peak())
                share = operations(case) / seconds / peak
                speed = f"{case.batch * case.length / seconds:,.0f} tokens/s"
                rest = f"{speed}, {share:.0%} of the matmul peak{', compiled' if compiled else ''}"
                line(f"train {case.name} / {other}", ratios, case.goal, rest)
                del once
    if "generate" in only:
        weights = 4 * (shape().num_parameters() - 1024 * 768)
        once = {"ours": writer("ours"), "theirs": writer("theirs")}
        ratios, seconds = compare(once, args.rounds, 1, both=True)
        share = weights * 128 / seconds / bandwidth()
        rest = f"{128 / seconds:.1f} tokens/s, {share:.0%} of the bandwidth"
        line("generate gpt2-small", ratios, 1.0, rest)
    if "memory" in only:
        for case in CASES[:2]:
            other = peak_memory("transformers", case, args.threads)
            for who, how in {"ours": "", "ours-within": ", updates in backward"}.items():
                mine = peak_memory(who, case, args.threads)
                print(
                    f"memory {case.name + how:<40} {mine / other:5.2f}  goal 0.8   "
                    f"{mine:.0f} against {other:.0f} MB, whole process"
                )


if __name__ == "__main__":
    main()
