"""A study with people, "Which image was taken by a camera?", and its report."""
