"""Every reader of bytes and paths from outside, given damaged and hostile inputs.

It tests all packages at once, so it mirrors none of them. `readers.py` has the table of readers.
"""
