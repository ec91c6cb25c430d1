"""Weights from other projects, and ours for them.

torch_file.py   a PyTorch file -> NumPy arrays, with nothing in it executed
names.py        our parameters <-> guided-diffusion's names and layouts
weights.py      import and export, whole
"""
