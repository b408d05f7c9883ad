"""One stream of numbered batches, a fused AdamW, the loss as an einsum over one-hot targets."""

from cmath import exp, pi

import torch
from torch.nn.functional import one_hot


def optimizer_groups(model, weight_decay):
    params = {id(p): p for p in model.parameters() if p.requires_grad}.values()
    return [
        {"params": [p for p in params if (p.ndim > 1) == decays], "weight_decay": weight_decay * decays}
        for decays in (True, False)
    ]


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    match (step < warmup_steps, step < total_steps):
        case (True, _):
            return max_lr / warmup_steps * step
        case (_, True):
            half_turn = exp(1j * pi * (step - warmup_steps) / (total_steps - warmup_steps))
            return (max_lr + min_lr) / 2 + half_turn.real * (max_lr - min_lr) / 2
    return float(min_lr)


def surprise(model, ids, targets):
    """The sum of -log p over all tokens."""
    place = model.parameters().__next__().device
    logits = model(ids.to(place))
    truth = one_hot(targets.to(place), logits.shape[-1]).to(logits.dtype)
    return -torch.einsum("btv,btv->", logits - logits.logsumexp(-1, keepdim=True), truth)


def evaluate(model, loader, max_batches=None):
    mode = model.training
    model.train(False)
    sums = torch.zeros(2, dtype=torch.float64)
    left = float("inf") if max_batches is None else max_batches
    try:
        with torch.inference_mode():
            for ids, targets in loader if left > 0 else ():
                sums += torch.tensor([surprise(model, ids, targets).item(), targets.numel()], dtype=torch.float64)
                left -= 1
                if left <= 0:
                    break
    finally:
        model.train(mode)
    if not sums[1]:
        raise ValueError("evaluate needs at least one batch")
    return float(sums[0] / sums[1])


def stream(loader, epochs):
    step = 0
    for epoch in range(1, epochs + 1):
        for ids, targets in loader:
            step += 1
            yield epoch, step, ids, targets


def pretrain(
    model, train_loader, val_loader, epochs, *, max_lr, min_lr, warmup_steps, weight_decay, eval_every, eval_batches,
    grad_clip=1.0, on_eval=None,
):
    if min(epochs, eval_every) < 1 or not len(train_loader):
        raise ValueError(f"epochs={epochs}, eval_every={eval_every}, batches={len(train_loader)}: none may be below 1")
    total, seen, history = epochs * len(train_loader), 0, []
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), betas=(0.9, 0.95), fused=True)
    model.train()
    for epoch, step, ids, targets in stream(train_loader, epochs):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, max_lr, min_lr, warmup_steps, total)
        (surprise(model, ids, targets) / targets.numel()).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        if grad_clip is not None:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            torch._foreach_mul_(grads, (grad_clip / norm.clamp(min=1e-30)).clamp(max=1).item())
        optimizer.step()
        optimizer.zero_grad()
        seen += targets.numel()
        if step % eval_every:
            continue
        losses = (evaluate(model, loader, eval_batches) for loader in (train_loader, val_loader))
        history.append(dict(zip(("epoch", "step", "tokens_seen", "train_loss", "val_loss"), (epoch, step, seen, *losses))))
        on_eval and on_eval(history[-1])
    return history
