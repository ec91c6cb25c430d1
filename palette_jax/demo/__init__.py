"""`palette demo`: a page in a browser on which photos are painted."""
