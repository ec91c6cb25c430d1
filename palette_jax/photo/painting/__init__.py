"""Painting photos of any size: tiles, regions, the painter, the methods."""
