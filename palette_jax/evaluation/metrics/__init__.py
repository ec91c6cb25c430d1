"""Figures of merit, each a pure function of images or of features."""
