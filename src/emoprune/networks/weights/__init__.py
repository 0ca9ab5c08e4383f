"""Weights files of others: names, kinds and heads, matched to a network of ours."""
