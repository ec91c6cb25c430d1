"""Which image was taken by a camera? A study with people, and its report."""
