"""What the problems share. A solution.py needs three names of it at most."""

from common.config import GPT2Config
from common.loading import problem
from common.tokenizer import gpt2_tokenizer

__all__ = ["GPT2Config", "gpt2_tokenizer", "problem"]
