"""Weights from other projects, and ours for them.

torch_file.py   a PyTorch file -> NumPy arrays, with nothing in it executed
names.py        our parameters <-> guided-diffusion's names and layouts
exporter.py     ours -> one file of tensors, and back
importer.py     a file of tensors, ours or another project's -> a checkpoint

A whole sampler as one file, which runs without this package:

tensor_stream.py   safetensors inside another file
stablehlo.py       the sampler as one program
loader.py          what runs the file elsewhere; a copy is in it
sampler_file.py    the file, taken apart
sampler_export.py  the file, made and tried
"""
