"""What becomes of the numbers' size through a deep stack."""

from common.pictures.panels import Control, Line, Lines
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit

CONTROLS = (
    Control("layers", "Layers", "number", "24", low=1, high=96, whole=True),
    Control("gain", "What a layer multiplies sizes by", "number", "1.3", low=0.3, high=3),
)
PARTS = ("LayerNorm", "pre_norm_residual")
C = 64


def draw(parts, controls):
    import torch

    layers, gain = controls["layers"], controls["gain"]
    x = torch.randn(1, 8, C)
    matrices = [torch.randn(C, C) * gain / C**0.5 for _ in range(layers)]

    def size(values):
        if not isinstance(values, torch.Tensor) or values.shape != x.shape:
            raise Unfit("it does not keep the shape of x")
        return float(f"{float(values.detach().std()):.4g}")

    def through(step):
        sizes, now = [size(x)], x
        for matrix in matrices:
            now = step(now, lambda value, matrix=matrix: value @ matrix)
            sizes.append(size(now))
        return tuple(sizes)

    norms = parts.LayerNorm(C)
    with torch.no_grad():
        made = {
            "layer after layer": through(lambda now, layer: layer(now)),
            "x + layer(x)": through(lambda now, layer: now + layer(now)),
            "pre_norm_residual": through(
                lambda now, layer: parts.pre_norm_residual(now, norms, layer)
            ),
        }
    depth = tuple(float(i) for i in range(layers + 1))
    return Picture(
        f"The size of the numbers through {layers} layers",
        "Three curves of the standard deviation over depth, on a logarithmic axis. Layers alone, and layers added to x "
        "without a norm, grow like a power of the depth; with a norm before each layer the growth is slow.",
        (
            Lines(
                "standard deviation of x after each layer",
                tuple(Line(name, depth, sizes) for name, sizes in made.items()),
                "layers passed", "standard deviation", log=True,
            ),
        ),
        f"Each layer is a random matrix that multiplies sizes by {gain:g}. With a norm before it each layer adds about "
        "the same amount, so the stream grows like the square root of the depth.",
        across=1,
    )  # fmt: skip
