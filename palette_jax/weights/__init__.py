"""Weights from other projects, and ours for them.

What files are made of:

torch_file.py      a PyTorch file -> arrays, with nothing in it executed
new_file.py        there whole, or not at all
names.py           our parameters <-> guided-diffusion's names and layouts
tensor_stream.py   safetensors inside another file
stablehlo.py       a whole sampler as one program
loader.py          what runs it where this package is not; a copy is in the file

Where weights lie:

sampler_file.py    a sampler and its weights
tensor_file.py     weights alone, for other programs
run_folder.py      the checkpoints of a run
weights.py         any of these -> a network, what it has learnt, its SHA-256

importer.py        what others have written -> a checkpoint
exporter.py        weights, wherever they lie -> one file
"""
