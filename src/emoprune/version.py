"""The version, in a module of its own so that no package has to import the whole."""

__version__ = "0.1.0"
