"""Whether two classifiers differ on the same images, or only by chance."""
