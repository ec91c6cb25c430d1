"""Somebody's own photo: read, cut up, put together again, written."""
