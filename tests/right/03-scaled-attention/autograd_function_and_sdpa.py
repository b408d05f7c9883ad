import torch
import torch.nn.functional as F


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores, dim):
        out = scores.clone()
        out.sub_(out.amax(dim, keepdim=True)).exp_()
        out.div_(out.sum(dim, keepdim=True))
        ctx.dim = dim
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad):
        (out,) = ctx.saved_tensors
        inner = (grad * out).sum(ctx.dim, keepdim=True)
        return out * (grad - inner), None


def softmax(scores, dim=-1):
    return _Softmax.apply(scores, dim)


def scaled_dot_product_attention(query, key, value, mask=None):
    """Weights by hand, a key at a time; the output comes from PyTorch's own kernel."""
    D, S = query.shape[-1], key.shape[-2]
    if key.shape[-1] != D:
        raise ValueError(f"last dimension of key: {key.shape[-1]}, must be {D}")
    if value.shape[-2] != S:
        raise ValueError(f"tokens in value: {value.shape[-2]}, must be {S}")
    columns = [(query * key[..., s : s + 1, :]).sum(-1) for s in range(S)]
    scores = torch.stack(columns, dim=-1).div(D**0.5)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must be torch.bool, is {mask.dtype}")
        try:
            mask = mask.expand(scores.shape)
        except RuntimeError as error:
            raise ValueError(f"mask {list(mask.shape)} against scores {list(scores.shape)}: {error}") from None
        scores = scores.masked_fill(mask.logical_not(), -torch.inf)
    lead = scores.shape[:-2]
    q, k, v = (t.expand(*lead, *t.shape[-2:]) for t in (query, key, value))
    if not lead:
        q, k, v = q[None], k[None], v[None]
        output = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[None])[0]
    else:
        output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return output, softmax(scores, dim=-1)
