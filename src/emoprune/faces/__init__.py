"""From photos to face pictures."""
