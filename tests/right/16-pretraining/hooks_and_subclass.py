"""An AdamW that sets its own rate and clips by itself, in a subclass; the loss by F.nll_loss, row by row."""

import math

import torch
import torch.nn.functional as F


def optimizer_groups(model, weight_decay):
    kept = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    norms_and_biases = {n for n, p in kept if p.squeeze().ndim < 2 and p.ndim < 2}
    return [
        {"params": [p for n, p in kept if n in norms_and_biases], "weight_decay": 0.0, "what": "vectors"},
        {"params": [p for n, p in kept if n not in norms_and_biases], "weight_decay": float(weight_decay), "what": "matrices"},
    ]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    way_up = step / warmup_steps if step < warmup_steps else None
    if way_up is not None:
        return way_up * max_lr
    way_down = 1.0 if step >= total_steps else (step - warmup_steps) / (total_steps - warmup_steps)
    height = (math.cos(way_down * math.pi) + 1) * 0.5
    return height * max_lr + (1 - height) * min_lr


class Paced(torch.optim.AdamW):
    def __init__(self, groups, rate, limit):
        super().__init__(groups, lr=0.0, betas=(0.9, 0.95))
        self.rate, self.limit, self.made = rate, limit, 0

    def step(self, closure=None):
        self.made += 1
        params = [p for group in self.param_groups for p in group["params"]]
        for group in self.param_groups:
            group["lr"] = self.rate(self.made)
        if self.limit is not None:
            torch.nn.utils.clip_grad_norm_(params, self.limit)
        return super().step(closure)


def row_losses(model, inputs, targets):
    device = next(iter(model.state_dict().values())).device
    log_p = F.log_softmax(model(inputs.to(device)), dim=-1)
    return [F.nll_loss(row, target, reduction="sum") for row, target in zip(log_p, targets.to(device), strict=True)]


def evaluate(model, loader, max_batches=None):
    before = model.training
    model.eval()
    rows, tokens = [], 0
    previous = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        for number, (inputs, targets) in enumerate(loader):
            if number == max_batches:
                break
            rows += [float(loss) for loss in row_losses(model, inputs, targets)]
            tokens += targets.shape[0] * targets.shape[1]
    finally:
        torch.set_grad_enabled(previous)
        model.train(before)
    if not rows:
        raise ValueError(f"the loader gave no batch (max_batches={max_batches})")
    return math.fsum(rows) / tokens


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every,
             eval_batches, grad_clip=1.0, on_eval=None):
    for name, number in {"epochs": epochs, "eval_every": eval_every, "batches": len(train_loader)}.items():
        if number <= 0:
            raise ValueError(f"{name}={number}")
    total = epochs * len(train_loader)
    optimizer = Paced(
        optimizer_groups(model, weight_decay), lambda s: learning_rate(s, max_lr, min_lr, warmup_steps, total), grad_clip
    )
    history, tokens = [], 0
    while optimizer.made < total:
        for inputs, targets in train_loader:
            model.train()
            optimizer.zero_grad(set_to_none=False)
            (sum(row_losses(model, inputs, targets)) / targets.numel()).backward()
            optimizer.step()
            tokens += targets.numel()
            if not optimizer.made % eval_every:
                history += [{
                    "step": optimizer.made, "tokens_seen": tokens, "epoch": -(-optimizer.made // len(train_loader)),
                    "val_loss": evaluate(model, val_loader, eval_batches),
                    "train_loss": evaluate(model, train_loader, eval_batches),
                }]
                if on_eval is not None:
                    on_eval(history[-1])
    return history
