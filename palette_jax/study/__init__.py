"""A human study, "Which image was taken by a camera?", and its report."""
