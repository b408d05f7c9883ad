"""model.apply for the classes, then a loop over names for what is left."""

import math

import torch
from torch import nn


def init_weights(model):
    std = model.config.initializer_range

    def visit(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.data.normal_(mean=0.0, std=std)
            if getattr(module, "bias", None) is not None:
                module.bias.data.zero_()

    model.apply(visit)
    for name, p in model.named_parameters():
        if "ln_" in name:
            torch.nn.init.constant_(p, 1.0 if name.endswith("weight") else 0.0)
        if name.endswith("c_proj.weight"):
            torch.nn.init.normal_(p, mean=0.0, std=std / math.sqrt(2 * model.config.n_layer))
