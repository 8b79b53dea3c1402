"""The input side of training: reading pictures, choosing their order, augmented batches."""
