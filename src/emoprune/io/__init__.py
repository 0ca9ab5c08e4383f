"""Bytes and values: every file format, and the streams and folders they come from."""
