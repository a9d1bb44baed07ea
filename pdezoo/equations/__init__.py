"""One file per family of equations. A new file here is a new family; nothing else needs to change."""
