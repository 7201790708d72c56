"""`python -m vitladder`, which `torchrun -m vitladder` starts on every device."""

import sys

from vitladder.cli import main

sys.exit(main())
