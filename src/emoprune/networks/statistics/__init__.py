"""What is known of a network from passes over images: its activations, and what its answer depends on."""
