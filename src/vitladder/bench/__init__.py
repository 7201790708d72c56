"""How fast this machine and this program are, as ratios measured in one run."""
