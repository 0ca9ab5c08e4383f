"""emoprune: small, fast expression classifiers from photos of faces, with proof of what small cost."""

__version__ = "0.1.0"
