"""Entries of ops: each file lists its own as OPS. A new op is a new file."""
