"""What the problems share. A solution.py needs three names of it at most."""

from common.config import GPT2Config
from common.judging.loading import problem
from common.text.tokenizer import gpt2_tokenizer

__all__ = ["GPT2Config", "gpt2_tokenizer", "problem"]
