"""Weights: loaded from anywhere, converted from and for other projects.

trained.py        loads weights from any of the places below
run_folder.py     the checkpoints of a run
tensor_file.py    tensors alone, for other programs
sampler_file.py   a sampler with its weights
stablehlo.py      the program in it: a whole sampler
loader.py         runs it without this package; each file has a copy
tensor_stream.py  safetensors inside it

importer.py       other projects' files -> a checkpoint
exporter.py       weights -> one file
names.py          our parameters <-> guided-diffusion's names and layouts
torch_file.py     reads PyTorch files without PyTorch
safe_pickle.py    unpickles known content only
"""
