"""Training a network: its settings, the presets of papers, the loop."""
