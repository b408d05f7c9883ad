"""Looks at the names of the parameters only, never at the classes of the modules."""
import re

import torch

RULES = (
    (re.compile(r"(^|\.)ln_(1|2|f)\.weight$"), "one"),
    (re.compile(r"(^|\.)bias$"), "zero"),
    (re.compile(r"(^|\.)c_proj\.weight$"), "residual"),
    (re.compile(r"(^|\.)weight$"), "normal"),
)


@torch.no_grad()
def init_weights(model):
    if not hasattr(model, "config"):
        raise TypeError(f"{model.__class__.__name__} carries no config; init_weights reads model.config")
    cfg = model.config
    std = {"normal": cfg.initializer_range, "residual": cfg.initializer_range * (2 * cfg.n_layer) ** -0.5}
    for name, p in model.named_parameters():
        kind = next((kind for pattern, kind in RULES if pattern.search(name)), None)
        if kind == "one":
            p.fill_(1)
        elif kind == "zero":
            p.zero_()
        elif kind is not None:
            p.copy_(torch.randn_like(p) * std[kind])
