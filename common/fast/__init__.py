"""The same GPT-2, faster: fused attention, a loss that never holds all logits, a cache for generation.

Everything here takes the parameters of a model with the contract's names and computes what its own forward
computes, up to rounding.
"""
