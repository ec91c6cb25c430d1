"""Codes in `arrays.Examples.given` of what the condition holds at a pixel.

The model paints every pixel except those of TRUTH.
"""

TRUTH = 0  # the clean image itself
DEGRADED = 1  # a version of it, such as grey or JPEG
NOISE = 2  # a hole, filled with standard Gaussian noise
NOTHING = 3  # zero, which is the middle of [-1, 1]
