"""What the runs say: scaling laws fitted to records, without torch."""
