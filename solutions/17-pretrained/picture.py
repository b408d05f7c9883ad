"""What differs after loading: a matrix of the file, which is the other way round in the model."""

from common.pictures.panels import Control, Heat
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit, table

C, F = 8, 16
SHAPES = {
    "attn.c_attn": (C, 3 * C),
    "attn.c_proj": (C, C),
    "mlp.c_fc": (C, F),
    "mlp.c_proj": (F, C),
}
CONTROLS = (Control("layer", "Layer", "choice", "attn.c_attn", tuple(SHAPES)),)
PARTS = ("convert_hf_state_dict",)


def draw(parts, controls):
    import torch

    published = {f"transformer.{name}": tensor for name, tensor in _published().items()}
    name = f"h.0.{controls['layer']}.weight"
    converted = parts.convert_hf_state_dict(dict(published))
    rows, columns = SHAPES[controls["layer"]]
    if not all(isinstance(tensor, torch.Tensor) for tensor in converted.values()):
        raise Unfit("a value of the state dict is no tensor")
    there = published[f"transformer.{name}"]
    here = table(converted[name], columns, rows, name)
    gone = [key for key in published if key.removeprefix("transformer.") not in converted]
    new = [key for key in converted if f"transformer.{key}" not in published]
    return Picture(
        f"{name}: in the file, and in your model",
        f"Two tables of colours. In the file the matrix has {rows} rows, one for each input, and {columns} columns; in "
        "the model it is transposed.",
        (
            Heat(
                f"in the file: ({rows}, {columns})", table(there, rows, columns, "file"),
                row_axis="inputs", column_axis="outputs", scale="diverging", most=1.3, square=True,
            ),
            Heat(
                f"in your model: ({columns}, {rows})", here,
                row_axis="outputs", column_axis="inputs", scale="diverging", most=1.3, square=True,
            ),
        ),
        f"Not taken over: {', '.join(gone) or 'nothing'}. Added: {', '.join(new) or 'nothing'}. All four matrices of "
        "each block are turned in this way, and all names lose their prefix.",
    )  # fmt: skip


def _published():
    """A state dict as Hugging Face's GPT-2 has it, of one tiny layer."""
    import torch

    state = {"wte.weight": torch.randn(11, C), "wpe.weight": torch.randn(6, C)}
    for layer, (rows, columns) in SHAPES.items():
        up, along = torch.linspace(-1, 1, rows)[:, None], torch.arange(columns) / columns
        state[f"h.0.{layer}.weight"] = up * (
            0.4 + along.mul(3 if "c_attn" in layer else 1).remainder(1)
        )
        state[f"h.0.{layer}.bias"] = torch.zeros(columns)
    for norm in ("h.0.ln_1", "h.0.ln_2", "ln_f"):
        state |= {f"{norm}.weight": torch.ones(C), f"{norm}.bias": torch.zeros(C)}
    state["h.0.attn.bias"] = torch.ones(1, 1, 6, 6).tril()
    return state
