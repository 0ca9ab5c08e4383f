"""Which units or weights a method removes, and in which order."""
