"""The registered problems: one file per family of equations. A new file here is a new family; nothing else changes."""
