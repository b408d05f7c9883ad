"""What the problems share. A solution.py needs two names of it: GPT2Config and problem."""

from common.config import GPT2Config
from common.loading import problem

__all__ = ["GPT2Config", "problem"]
