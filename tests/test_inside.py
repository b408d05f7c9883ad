"""The inside of a trained model: what is shown is what the model does, and the page asks nobody and obeys nobody."""

from __future__ import annotations

import re

import pytest
import torch

from common import GPT2Config, problem
from common.cli import main
from common.errors import CourseError
from common.pictures import inside, page
from common.pictures.letters import columns
from common.pictures.panels import Bars, Heat, Strips

CONFIG = GPT2Config(vocab_size=40, n_positions=12, n_embd=24, n_layer=3, n_head=4)
EVIL = "</script><img src=x onerror=alert(1)> $x$ \x1b[31m"


def decode(number: int) -> str:
    return EVIL if number == 7 else f" w{number}"


@pytest.fixture(scope="module")
def seen() -> inside.Inside:
    torch.manual_seed(1)
    model = problem(10).GPT2Model(CONFIG).eval()
    with torch.no_grad():  # head 2 of block 1 says nothing
        model.h[1].attn.c_proj.weight[:, 12:18] = 0
    return inside.look(model, [3, 7, 3, 9, 30], decode)


def test_the_weights_are_those_that_the_model_computes_with(seen):
    attn, x = seen.model.h[0].attn, seen.stream[0][None]
    with torch.no_grad():
        normed = seen.model.h[0].ln_1(x)
        value = attn.c_attn(normed).chunk(3, -1)[2].unflatten(-1, (4, -1)).transpose(1, 2)
        output = attn.c_proj((seen.attention[0] @ value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(output, attn(normed))


def test_the_lens_ends_with_what_the_model_says(seen):
    (strips,) = inside.by_layer(seen).panels
    assert isinstance(strips, Strips)
    assert [name for name, _ in strips.rows] == [
        "the prompt",
        "embeddings",
        "block 0",
        "block 1",
        "block 2",
    ]
    best = seen.logits.argmax(-1).tolist()
    assert [b.text for b in strips.rows[-1][1]] == [decode(i).replace(" ", "·") for i in best]


def test_a_head_that_says_nothing_is_not_missed_and_all_hooks_are_gone(seen):
    heads, layers = inside.removed(seen).panels
    assert isinstance(heads, Heat)
    assert isinstance(layers, Bars)
    assert heads.values[1][2] < 1e-6
    assert min(heads.values[0]) > 1e-6
    assert min(layers.series[0][1]) > 1e-6
    torch.testing.assert_close(seen.model(seen.ids)[0], seen.logits)


def test_a_token_is_not_its_own_neighbour_and_surprise_is_the_loss(seen):
    (strips,) = inside.neighbours(seen).panels
    assert isinstance(strips, Strips)
    assert len(strips.rows) == 4  # one token came twice
    assert all(len(row) == 6 for _, row in strips.rows)
    steps = inside.next_token(seen).panels[1]
    assert isinstance(steps, Bars)
    loss = torch.nn.functional.cross_entropy(seen.logits[:-1], seen.ids[0, 1:], reduction="none")
    assert list(steps.series[1][1]) == pytest.approx(loss.tolist(), abs=1e-3)


def test_a_prompt_of_one_token_and_one_that_is_too_long():
    model = problem(10).GPT2Model(CONFIG).eval()
    alone = inside.look(model, [5], decode)
    assert "5" in inside.overview(alone, 2, 3).text(80)
    assert len(inside.look(model, [*range(30)], decode).words) == CONFIG.n_positions


def test_the_overview_fits_into_a_terminal_and_the_page_holds_no_markup_of_anyone(seen):
    lines = inside.overview(seen, 0, 0).text(80).splitlines()
    assert max(map(columns, lines)) <= 80
    text = page.page(seen, EVIL)
    assert "<img src=x" not in text
    assert text.count("</script>") == 2
    assert "\x1b" not in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert not re.search(r"fetch\(|XMLHttp|import\(|url\(", text)


def test_the_command_says_what_does_not_go_together(capsys, tmp_path):
    assert main(["see", "05", "--from", "last"]) == 2
    assert main(["see", "05", "--html", "x.html"]) == 2
    assert main(["see", "--from", str(tmp_path)]) == CourseError.exit_code
    assert "there is no checkpoint in" in capsys.readouterr().err
