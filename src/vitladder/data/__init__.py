"""Where images come from: sources, conversion, the cache, order, augmentation, batches."""
