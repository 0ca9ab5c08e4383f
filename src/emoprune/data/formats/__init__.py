"""The forms in which data sets come: folders, lists, CSVs of pixels, feature tables."""
