"""One draw for all matrices together, cut into pieces; the constants by broadcasting."""

import torch


@torch.no_grad()
def init_weights(model):
    named = dict(model.named_parameters())
    matrices = {name: p for name, p in named.items() if p.ndim == 2}
    numbers = torch.randn(sum(p.numel() for p in matrices.values())).split([p.numel() for p in matrices.values()])
    for (name, p), piece in zip(matrices.items(), numbers):
        p[...] = piece.view(p.shape)
        p *= model.config.initializer_range
        if ".c_proj." in name:
            p /= (model.config.n_layer + model.config.n_layer) ** 0.5
    for name in named.keys() - matrices.keys():
        named[name][:] = 0 if name.rpartition(".")[2] == "bias" else 1
