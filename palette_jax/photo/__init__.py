"""Photos: read, painted in tiles, and written as the same kind of file."""
