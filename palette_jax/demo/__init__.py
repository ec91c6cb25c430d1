"""`palette demo`: a page in the browser on which photos are restored."""
