"""Own generator, copy_ under no_grad, walk over named_modules."""

import torch


@torch.no_grad()
def init_weights(model):
    config = model.config
    generator = torch.Generator().manual_seed(torch.initial_seed() % 2**31)
    done = set()
    for path, module in model.named_modules():
        for field, p in module.named_parameters(recurse=False):
            if id(p) in done:
                continue
            done.add(id(p))
            last = path.split(".")[-1]
            if field == "bias":
                p.fill_(0)
            elif last.startswith("ln"):
                p.copy_(torch.ones_like(p))
            else:
                scale = (2 * config.n_layer) ** -0.5 if last == "c_proj" else 1.0
                numbers = torch.randn(p.shape, generator=generator, dtype=torch.float32)
                p.copy_(numbers * config.initializer_range * scale)
