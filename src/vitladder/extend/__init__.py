"""What a plugin author uses: the contracts of attention kernels and position encodings."""
