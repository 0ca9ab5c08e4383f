"""What a step of training is made of: its batch, loss, rate, number format, and what learns."""
