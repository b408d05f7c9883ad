"""Groups from a dict of names, a scheduler that counts from 0 and is one ahead, clipping over a list, zero_grad after the step."""
import math

import torch
import torch.nn.functional as F


def optimizer_groups(model, weight_decay):
    param_dict = {pn: p for pn, p in model.named_parameters() if p.requires_grad}
    decay_params = [p for n, p in param_dict.items() if p.dim() >= 2]
    nodecay_params = [p for n, p in param_dict.items() if p.dim() < 2]
    groups = []
    if nodecay_params:
        groups.append({"params": nodecay_params, "weight_decay": 0})
    if decay_params:
        groups.append({"params": decay_params, "weight_decay": weight_decay})
    return groups


def learning_rate(it, max_lr, min_lr, warmup_steps, total_steps):
    # 1) linear warmup
    if it < warmup_steps:
        return max_lr * it / warmup_steps
    # 2) min learning rate after the end
    if it > total_steps:
        return min_lr
    # 3) cosine in between
    decay_ratio = (it - warmup_steps) / max(1, total_steps - warmup_steps)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (max_lr - min_lr)


@torch.no_grad()
def evaluate(model, loader, max_batches=None):
    mode = model.training
    model.eval()
    device = next(iter(model.parameters())).device
    losses, counts = [], []
    for k, (X, Y) in enumerate(loader):
        if max_batches is not None and k >= max_batches:
            break
        X, Y = X.to(device), Y.to(device)
        logits = model(X)
        losses.append(F.cross_entropy(logits.reshape(-1, logits.size(-1)), Y.reshape(-1), reduction="sum").item())
        counts.append(Y.numel())
    model.train(mode)
    if not counts:
        raise ValueError("evaluate: the loader gave no batches")
    return sum(losses) / sum(counts)


def pretrain(model, train_loader, val_loader, epochs, max_lr, min_lr, warmup_steps, weight_decay, eval_every,
             eval_batches, grad_clip=1.0, on_eval=None):
    if epochs < 1 or eval_every < 1:
        raise ValueError(f"epochs={epochs} and eval_every={eval_every} have to be positive")
    n = len(train_loader)
    if n < 1:
        raise ValueError("train_loader is empty")
    optimizer = torch.optim.AdamW(optimizer_groups(model, weight_decay), lr=max_lr, betas=(0.9, 0.95), eps=1e-8)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: learning_rate(s + 1, max_lr, min_lr, warmup_steps, epochs * n) / max_lr)
    device = next(model.parameters()).device
    history = []
    it = tokens = 0
    model.train()
    for epoch in range(epochs):
        for X, Y in train_loader:
            X, Y = X.to(device, non_blocking=True), Y.to(device, non_blocking=True)
            logits = model(X)
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), Y.reshape(-1))
            loss.backward()
            if grad_clip:
                torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            scheduler.step()
            it += 1
            tokens += X.numel()
            if it % eval_every == 0:
                history.append(dict(epoch=epoch + 1, step=it, tokens_seen=tokens, lr=scheduler.get_last_lr()[0],
                                    train_loss=evaluate(model, train_loader, eval_batches),
                                    val_loss=evaluate(model, val_loader, eval_batches)))
                if on_eval:
                    on_eval(history[-1])
    return history
