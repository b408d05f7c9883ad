import torch
import torch.nn.functional as F

from common import problem

GPT2Config = problem(9).GPT2Config
GPT2Model = problem(10).GPT2Model
init_weights = problem(11).init_weights


def next_token_split(tokens):
    length = tokens.size(1) - 1
    return tokens.narrow(1, 0, length).clone(), tokens.narrow(1, 1, length).clone()


def language_model_loss(logits, targets):
    log_p = F.log_softmax(logits, dim=-1)
    one_hot = F.one_hot(targets, logits.size(-1)).to(log_p.dtype)
    return -torch.einsum("btv,btv->bt", log_p, one_hot).mean()


def batches(vocab_size, shape, count, generator):
    for _ in range(count):
        yield next_token_split(torch.randint(vocab_size, shape, generator=generator))


def train_gpt2(
    vocab_size=100, embed_dim=64, num_heads=4, num_layers=2, block_size=32, batch_size=4, num_steps=50, lr=1e-3, seed=42
):
    if min(vocab_size, embed_dim, num_heads, num_layers, block_size, batch_size) < 1 or num_steps < 0:
        raise ValueError("every size has to be at least 1")
    if embed_dim % num_heads:
        raise ValueError(f"num_heads = {num_heads} does not divide embed_dim = {embed_dim}")
    cfg = GPT2Config(vocab_size, block_size, embed_dim, num_layers, num_heads)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = GPT2Model(cfg)
        init_weights(net)
        params = list(net.parameters())
        opt = torch.optim.Adam(params, lr)
        history = []
        for x, y in batches(vocab_size, (batch_size, block_size + 1), num_steps, generator):
            loss = language_model_loss(net(x), y)
            for p, g in zip(params, torch.autograd.grad(loss, params)):
                p.grad = g
            opt.step()
            history.append(loss.item())
    return net, history
