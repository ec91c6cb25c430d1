"""The setup of JAX before it computes: other hosts, compilation cache.

The command is the same everywhere. On TPU VMs, GKE and SLURM, JAX finds the
other hosts by itself; elsewhere, by three environment variables, which
launch/local_hosts and launch/gke set.
"""

import os
import pathlib

import jax

EXPLICIT = 'COORDINATOR_ADDRESS', 'NUM_PROCESSES', 'PROCESS_ID'


def join() -> None:
  """Joins the other hosts of the run, if there are any.

  Call this before anything touches a device.

  Raises:
    ValueError: if the environment describes them incompletely, or would leave
      GPUs idle.
  """
  if any(name in os.environ for name in EXPLICIT):
    _join_named()
  elif _is_slurm() or _is_tpu_pod():
    jax.distributed.initialize()  # JAX knows where to look


def _join_named() -> None:
  values = {name: os.environ.get(name, '') for name in EXPLICIT}
  address, count, index = values.values()
  _, colon, port = address.rpartition(':')
  numbers = [text.isdecimal() for text in (port, count, index)]
  if not (colon and all(numbers) and int(index) < int(count)):
    raise ValueError(
      f'Set all of {", ".join(EXPLICIT)}, as in host-0:8476, 4 and 0 to 3, or '
      f'none of them; got {values}.'
    )
  jax.distributed.initialize(
    address, int(count), int(index), cluster_detection_method='deactivate'
  )


def _is_slurm() -> bool:
  """Returns True if this is one of several tasks of an `srun`.

  JAX gives each task the GPU of its number on the node.

  Raises:
    ValueError: if there are not as many tasks as GPUs on a node.
  """
  environment = os.environ
  if int(environment.get('SLURM_STEP_NUM_TASKS', 1)) == 1:
    return False
  # 8(x2),4 means: eight tasks on each of two nodes, four on a third.
  layout = environment.get('SLURM_STEP_TASKS_PER_NODE', '')
  tasks = layout.partition('(')[0].partition(',')[0]
  gpus = environment.get('SLURM_GPUS_ON_NODE', tasks)
  if tasks != gpus:
    raise ValueError(
      f'SLURM started {tasks} tasks on a node with {gpus} GPUs, and each task '
      f'uses one GPU. Ask for --ntasks-per-node={gpus}.'
    )
  return True


def _is_tpu_pod() -> bool:
  """Returns True if there are TPU chips here, and perhaps on other hosts."""
  environment = os.environ
  # JAX sets this when it is imported where TPU chips are.
  platforms = jax.config.jax_platforms  # ty: ignore[missing-attribute]
  if not (platforms or '').startswith('tpu'):
    return False
  # GKE lists the workers, and counts the slices.
  for name in ('TPU_PROCESS_ADDRESSES', 'TPU_WORKER_HOSTNAMES'):
    if name in environment:
      several_slices = int(environment.get('MEGASCALE_NUM_SLICES', 1)) > 1
      return ',' in environment[name] or several_slices
  # A TPU VM asks its metadata server, unless this says that there is none.
  return 'TPU_SKIP_MDS_QUERY' not in environment


def cache_compilations() -> None:
  """Keeps compiled programs for the next start (JAX_COMPILATION_CACHE_DIR)."""
  # JAX defines its options when it is imported.
  if not jax.config.jax_compilation_cache_dir:  # ty: ignore[missing-attribute]
    folder = pathlib.Path('~/.cache/palette_jax/xla').expanduser()
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # Small programs, too: together they delay a start by seconds.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
