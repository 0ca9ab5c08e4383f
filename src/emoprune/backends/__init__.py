"""Thin adapters to heavy or optional libraries."""
