"""The metrics: pure functions of images or of their features."""
