"""An exception never stands alone: what beginners' slips raise in PyTorch gets a sentence of its own."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.judging.explaining import explain
from common.judging.loading import load
from common.judging.records import Request
from common.judging.runner import run
from common.judging.scene import Scene
from common.judging.usual_errors import sentence
from common.testing.context import surroundings

NAMES: dict[str, Any] = {
    "torch": torch, "nn": nn, "F": F, "math": math, "x": torch.ones(2, 7, 15), "bools": torch.ones(7, 7).bool(),
    "fc": nn.Linear(15, 3), "p": nn.Parameter(torch.ones(3)), "y": torch.ones(2, 7, 15), "ids": torch.ones(2, 7).long(),
}  # fmt: skip

# (what was typed, words of the sentence)
SLIPS = [
    ("torch.cat([x, x[:, :, :4]], dim=1)", "all other axes have to be equal"),
    ("torch.cat([x, x[0]], dim=1)", "these have 3 and 2"),
    ("torch.cat(x, x)", "one list of tensors"),
    ("torch.stack([x, x[:1]])", "torch.stack wants"),
    ("torch.stack([])", "list of tensors is empty"),
    ("x.half().masked_fill(bools[0, 0], -1e9)", "ends at 65504"),
    ("math.exp(2000)", "as exp is from 710 on"),
    ("again = lambda n: again(n + 1)\n    again(0)", "a stack of its own"),
    ("x @ y", "turn y"),
    ("x.transpose(0, 1).view(x.size(0), 7, 15)", "is not contiguous"),
    ("t = x.transpose(0, 1)\n    t.view(t.shape[1], t.size(0), 15)", r"view\(2, 7, 15\) exchanges no axes"),
    ("nn.Linear(2, 2, bias=False).bias.zero_()", "nothing was assigned"),
    ("layer = nn.Linear(2, 2, bias=False)\n    layer.bias.zero_()", "^layer.bias is None .* with bias=False"),
    ("x.mm(x)", "torch.mm multiplies two plain matrices"),
    ("fc(x[..., :7])", "channels"),
    ("fc(ids)", "whole ones"),
    ("fc(x.double())", "floating point types meet"),
    ("fc((x, x))", "got a tuple, not one tensor"),
    ("x[..., :7].masked_fill(bools.float(), 0)", "bool tensor"),
    ("x.masked_fill(None, 0.0)", "does not take"),
    ("x + bools", "line up"),
    ("x + y[:1, :5]", r"`y\[\.\.\., :1, :5\]` cuts the last ones"),
    ("x.transpose(1, 2).view(2, 105).view(15)", "reshape"),
    ("x.view(2, 7, 4, 4)", "number of elements"),
    ("x.view(2, 7, 3, 15 / 3)", "whole number"),
    ("x.permute(0, '2', 1)", "Sizes and axes are whole numbers"),
    ("softmax(x, -1)", r"did you mean `torch\.softmax`"),
    ("scores = x\n    scroes.mean()", "did you mean `scores`"),
    ("Wieghts + 1", "is it imported, or set further down"),
    ("x.transpose(1, 5)", "no axis 5"),
    ("x.permute(0, 2, 1, 3)", "permute names every axis once"),
    ("x.split([5, 5, 4], dim=-1)", "14 entries together"),
    ("q, k = x.split(5, dim=-1)", "pieces of n entries"),
    ("a, b = x.shape", "3 axes here"),
    ("nn.LayerNorm(7)(x)", "built for 7 channels"),
    ("nn.Embedding(3, 4)(x)", "int64"),
    ("nn.Embedding(1, 4)(ids)", "a row it does not have"),
    ("F.cross_entropy(x, ids)", "classes in axis 1"),
    ("F.cross_entropy(x.view(-1, 15), ids[0])", "one row for each target"),
    ("F.cross_entropy(x.view(-1, 15), 99 * ids.view(-1))", "A target is 99"),
    ("x[0, 0].backward()", "cut"),
    ("(p * 2).backward()", "one number"),
    ("p.add_(1)", "in place"),
    ("p.numpy()", "NumPy knows no gradients"),
    ("torch.optim.AdamW([])", "no parameter"),
    ("torch.optim.AdamW([p * 2])", "parameters themselves"),
    ("nn.Parameter(ids)", "floating point"),
    ("math.sqrt(x)", "Python's math"),
    ("int(x)", "Python's math"),
    ("bool(x)", "is not None"),
    ("~x", "bool tensor around"),
    ("~None", "if mask is not None"),
    ("bools - bools", "\\^"),
    ("torch.softmax(ids, -1)", "floating point numbers"),
    ("torch.multinomial(x[0] * math.nan, 1)", "missing softmax"),
    ("torch.topk(x, 99)", "more entries than there are"),
    ("x.max(dim=-1) + 1", "pair"),
    ("x.max(dim=-1).exp()", "pair or a list"),
    ("x + fc", "the layer itself"),
    ("x + None", "None"),
    ("None < 3", "None here"),
    ("x.size[0]", "round brackets"),
    ("x.size > 3", "brackets"),
    ("x.shape()", "no function"),
    ("x[0.5]", "whole number"),
    ("x[7]", "counted from 0"),
    ("[1, 2][2]", "fewer entries"),
    ("{'weight': 1}['weigth']", "no key 'weigth'"),
    ("x.masked_fil(bools, 0)", "did you mean `masked_fill`"),
    ("F.softmaxx(x)", "did you mean `softmax`"),
    ("object(1)", "__init__"),
    ("fc(x, x)", "fewer arguments"),
    ("fc()", "needs 'input' too"),
    ("fc(y=x)", "no argument y|needs"),
    ("from torch.nn import functionall", "no functionall in torch.nn"),
    ("import torchh", "no package torchh: did you mean `torch`"),
    ("nn.Sequential([fc])", "nn.Sequential\\(\\*layers\\)"),
    ("nn.ModuleList(fc)", "list of layers"),
    ("fc.load_state_dict({'weight': x[0]})", "lacks `bias`|is \\(7, 15\\)"),
    ("for i in 5: pass", "range"),
    ("x.dot(x)", "plain rows"),
    ("x^3", "a power is"),
    ("super.__init__()", "super\\(\\).__init__"),
    ("isinstance(x, int, bool)", "takes 2 arguments"),
    ("getattr('a', x)", "the object first"),
    ("nn.ModuleList([fc])[1]", "fewer of them"),
    ("x.unflatten(-1, (4, -1))", "does not multiply"),
    ("p[:1] @ x", "entry by entry|second last axis|line up"),
    ("math.sqrt(x.shape)", "whole shape"),
    ("__import__('re').sub('(', '', 'a')", "regular expression"),
    ("1 / 0", "out of the range"),
    ("torch.einsum('bt,btd->d', x, x)", "names 2 axes"),
    ("F.scaled_dot_product_attention(x, x, x, attn_mask=bools, is_causal=True)", "not both"),
    ("assert x.ndim == 2, 'a matrix, please'", "guard of yours"),
    ("raise ValueError('no')", "guard of yours"),
    ("n = end = warm = 5\n    n / (end - warm)", "^Here n is 5, end is 5 and warm is 5. The divisor `end - warm`"),
    ("n = 0\n    x.sum() / (3 % n)", "^Here n is 0. The divisor `n`"),
    ("best = None\n    assert best is not None", "^Here best is None. This guard of yours .* too strict"),
    ("n = 3\n    assert n % 2 == 0", "^Here n is 3. This guard of yours .* its condition is wrong"),
    ("parts = (b'x',)\n    min(zip(parts, parts[1:]), key=len)", "^Here parts is \\(b'x',\\). There .* smallest"),
    ("k = [*range(312)]\n    max(n for n in k if n < 0)", "^Here k is a list of 312. There is nothing .* the largest"),
    ("ranks, pair = {'ab': 0}, 'ac'\n    ranks[pair]", "^Here ranks is {'ab': 0} and pair is 'ac'. The dictionary"),
    ("best = None\n    max(best, 3)", "^best is None here"),
    ("best = None\n    assert (\n        best\n    )", "^Here best is None. This guard of yours .* too strict"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "words"), SLIPS, ids=[s[0] for s in SLIPS])
def test_what_a_slip_raises_gets_a_sentence(typed: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "solution.py"
    file.write_text(f"def forward(x):\n    {typed}\n", encoding="utf-8")
    module = load(file)
    vars(module).update(NAMES)
    with pytest.raises(Exception) as raised, surroundings():  # noqa: PT011 (whichever it is)
        module.forward(NAMES["x"].clone())
    facts, says = explain(raised.value, module)
    assert re.search(words, says), (facts, says)


def test_a_layer_without_its_super_is_told_so() -> None:
    class Forgot(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(2, 2)

    with pytest.raises(AttributeError) as raised:
        Forgot()
    assert "super().__init__()" in sentence(Scene(raised.value))


# (a file that cannot be executed, words of what is said)
NOT_LOADED = [
    ("import nn.functional as F\n", "torch.nn.functional"),
    ("import torch\n\n\n@no_grad()\ndef f(): ...\n", "did you mean `torch.no_grad`"),
    ("import torch\nclass A(torch.LayerNorm): ...\n", "did you mean `nn.LayerNorm`"),
    (
        "class A:\n    def __init__(self, width):\n        pass\n    size = width\n",
        "in the body of the class",
    ),
    ("rate: flota = 0.1\n", "did you mean `float`"),
    ("raise ValueError('mine')\n", r"ValueError: mine\n    raise ValueError\('mine'\)$"),
    ("import trch\n", "did you mean `torch`"),
    ("assert 1 > 2, 'mine'\n", r"\n    assert 1 > 2, 'mine'$"),
    ("def f(:\n", r"\n    def f\(:\nLook at the line before"),
    ("x = 1\n    y = 2\n", "further in than the line above"),
    ("def f():\nreturn 1\n", "four columns further in"),
    ("if True:\n        x = 1\n    y = 2\n", "count its spaces"),
    ("if True:\n\tx = 1\n        y = 2\n", "Tabs and spaces"),
]


@pytest.mark.parametrize(("text", "words"), NOT_LOADED, ids=[w for _, w in NOT_LOADED])
def test_a_file_that_cannot_be_executed_is_told_why(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "solution.py"
    file.write_text(text, encoding="utf-8")
    said = run(Request("07-layer-norm-residuals", file)).failure
    assert re.search(words, said), said
