"""Prunings of one network by several methods to several sizes, side by side."""
