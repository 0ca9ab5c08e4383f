"""Pictures and frames of videos: read, found in folders, compared."""
