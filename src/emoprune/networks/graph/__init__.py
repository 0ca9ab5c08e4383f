"""The channel graph: which layers write a unit, which read it, and what ties units together."""

from emoprune.networks.graph.tracing import channel_graph

__all__ = ["channel_graph"]
