"""Bytes to records and records to bytes, nothing else."""
