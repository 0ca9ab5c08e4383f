"""Networks: their architectures, checkpoints, channel graphs and activation statistics."""
