"""`python -m vitladder`, which `torchrun -m vitladder` starts on every device."""

import sys

from vitladder.cli import own_process

sys.exit(own_process())
