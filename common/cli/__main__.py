"""`python -m common.cli` is `gpt2`."""

import sys

from common.cli import main

sys.exit(main())
