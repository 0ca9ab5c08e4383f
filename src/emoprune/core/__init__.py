"""Pure: tensors and records in, tensors and records out; no files, no printing, no global state."""
