import torch


def softmax(scores: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """exp(z - log(sum(exp(z)))) with z = scores - max."""
    z = scores - scores.max(dim=dim, keepdim=True).values.detach()
    return (z - z.exp().sum(dim, keepdim=True).log()).exp()


class _Mask:
    def __init__(self, mask, shape):
        if not isinstance(mask, torch.Tensor) or mask.dtype is not torch.bool:
            raise TypeError("a boolean tensor is needed as mask, not %r" % (getattr(mask, "dtype", type(mask)),))
        padded = (1,) * (len(shape) - mask.ndim) + tuple(mask.shape)
        if len(padded) != len(shape) or any(m not in (1, n) for m, n in zip(padded, shape)):
            raise ValueError("mask shape %s cannot be stretched to %s" % (tuple(mask.shape), tuple(shape)))
        self.keep = mask.reshape(padded)

    def __call__(self, scores):
        return torch.where(self.keep, scores, torch.full_like(scores, torch.finfo(scores.dtype).min))


def scaled_dot_product_attention(query, key, value, mask=None):
    if query.shape[-1] != key.shape[-1]:
        raise ValueError("D of key is %d, D of query is %d" % (key.shape[-1], query.shape[-1]))
    if key.shape[-2] != value.shape[-2]:
        raise ValueError("S of value is %d, S of key is %d" % (value.shape[-2], key.shape[-2]))
    scores = torch.einsum("...td,...sd->...ts", query * query.shape[-1] ** -0.5, key)
    if mask is not None:
        scores = _Mask(mask, scores.shape)(scores)
    weights = softmax(scores)
    return torch.einsum("...ts,...se->...te", weights, value), weights
