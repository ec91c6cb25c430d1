# The package and its dependencies, for TPUs or GPUs:
#   docker build --build-arg ACCELERATOR=tpu -t IMAGE .    (or gpu)
# CUDA comes with JAX; the host only needs the driver.
FROM python:3.12-slim
ARG ACCELERATOR=tpu
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /palette_jax

# What changes seldom comes first, so that a change of code keeps these layers.
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY setup.py pyproject.toml README.md ./
COPY palette_jax/__init__.py palette_jax/
RUN pip install --constraint requirements.txt -e ".[${ACCELERATOR}]"

COPY . .
# As a list, so that Python itself receives SIGTERM and saves.
CMD ["python", "-m", "palette_jax.main", "--helpshort"]
