"""What each row of the sum is made of: a row that says what the token is, and one that says where it stands."""

from common import GPT2Config
from common.pictures.panels import Heat
from common.pictures.picture import Picture
from common.pictures.scenes import ids, sentence, table, tokens

CONTROLS = (sentence("the dog bites the dog"),)
PARTS = ("Embeddings",)
C = 16


def draw(parts, controls):
    import torch

    words = tokens(controls["sentence"])
    T, numbers = len(words), torch.tensor([ids(words)])
    config = GPT2Config(
        vocab_size=int(numbers.max()) + 1, n_positions=T, n_embd=C, n_head=1, embd_pdrop=0.0
    )
    model = parts.Embeddings(config).eval().requires_grad_(False)
    waves = torch.arange(T)[:, None] * torch.linspace(0.2, 1.6, C) + torch.arange(C) % 2
    model.wte.weight.copy_(
        0.8 * torch.randn(config.vocab_size, C, generator=torch.Generator().manual_seed(1))
    )
    model.wpe.weight.copy_(waves.cos())
    where = tuple(f"position {t}" for t in range(T))
    made = [
        ("wte[id]: what it is", model.wte.weight[numbers[0]], tuple(words)),
        ("wpe[position]: where it stands", model.wpe.weight[:T], where),
        ("the output: their sum", model(numbers)[0], tuple(words)),
    ]
    panels = tuple(
        Heat(
            title, table(x, T, C, title), names, column_axis="channels", scale="diverging", most=2.5
        )
        for title, x, names in made
    )
    return Picture(
        "Two rows are added for each token",
        f"Three tables of colours over {C} channels for the tokens of a sentence: the token embeddings, in which equal "
        "words have equal rows; the position embeddings, which differ from row to row; and their sum, in which no two "
        "rows are alike.",
        panels,
        "Equal words have the same row of wte; in the sum they differ, by where they stand. The tables hold numbers "
        "made for the picture.",
        across=3,
    )
