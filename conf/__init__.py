"""Hydra groups: the defaults of every setting."""
