"""Data sets: photos by class, FER-2013's CSV, feature tables, and how they are split."""
