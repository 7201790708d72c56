"""Attention kernels and position encodings, one file each."""
