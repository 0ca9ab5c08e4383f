"""Frozen records that travel between the rooms; an illegal one cannot be made."""
