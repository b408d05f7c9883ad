"""All matrices alike first, then the residual ones are scaled down; parameters through state names."""

from torch import nn


def init_weights(model: nn.Module):
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, 0.0, model.config.initializer_range)
    for layer in model.h:
        for sublayer in (layer.attn, layer.mlp):
            sublayer.c_proj.weight.data *= 1 / (2 * model.config.n_layer) ** 0.5
    for module in model.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if weight is not None and weight.dim() == 1:
            nn.init.ones_(weight)
        if bias is not None:
            nn.init.zeros_(bias)
