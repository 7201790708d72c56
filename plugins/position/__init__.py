"""Position encodings, one file each."""
