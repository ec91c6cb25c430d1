# The package and all that it needs, for TPUs or GPUs:
#   docker build --build-arg ACCELERATOR=tpu -t IMAGE .    (or gpu)
# CUDA comes with JAX; of a GPU, the host has the driver alone.
FROM python:3.12-slim
ARG ACCELERATOR=tpu
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /palette_jax

# What changes seldom comes first: a change of code leaves these layers alone.
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY setup.py pyproject.toml README.md ./
COPY palette_jax/__init__.py palette_jax/
RUN pip install --constraint requirements.txt -e ".[${ACCELERATOR}]"

COPY . .
# As a list: Python itself is sent SIGTERM, and saves.
CMD ["python", "-m", "palette_jax.main", "--helpshort"]
