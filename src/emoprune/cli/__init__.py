"""Command lines to calls to output: one file per command."""
