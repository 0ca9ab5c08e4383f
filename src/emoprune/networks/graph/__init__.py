"""The channel graph: which layers write and read each unit, and which channels are tied."""

from emoprune.networks.graph.tracing import channel_graph

__all__ = ["channel_graph"]
