"""Export for other runtimes."""
