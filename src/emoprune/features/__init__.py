"""Faces as numbers: descriptors of gray pictures, features of networks, their principal components."""
