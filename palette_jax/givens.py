"""What the model is given at a pixel; it must paint all but the truth.

One byte a pixel says it, in `arrays.Examples.given` and where tasks make that.
"""

TRUTH = 0  # the clean image itself
DEGRADED = 1  # something made of it: grey, JPEG
NOISE = 2  # a hole, filled with standard Gaussian noise
NOTHING = 3  # zero, which is the middle of [-1, 1]
