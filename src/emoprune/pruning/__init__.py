"""Pruning: which units go, how survivors take over, and what it costs."""
