"""Training: what is asked for, the loop, and the checkpoint at the end."""
