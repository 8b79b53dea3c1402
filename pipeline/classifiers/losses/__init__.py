"""Losses, one module each: batch_loss(logits, labels, synthetic, settings)."""
