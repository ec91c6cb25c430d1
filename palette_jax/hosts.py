"""What a process does before JAX's first computation: find the other hosts.

The command is the same everywhere. On TPU VMs, GKE and SLURM the other hosts
are found by what the machine says of itself; anywhere else, by three variables
of the environment, which launch/local_hosts and launch/gke set.
"""

import os
import pathlib

import jax

EXPLICIT = 'COORDINATOR_ADDRESS', 'NUM_PROCESSES', 'PROCESS_ID'


def join() -> None:
  """Joins the other hosts of the run, if there are any.

  To be called before anything touches a device.

  Raises:
    ValueError: if what the environment says of them is not complete, or would
      leave GPUs idle.
  """
  if any(name in os.environ for name in EXPLICIT):
    _join_named()
  elif _is_slurm() or _is_tpu_pod():
    jax.distributed.initialize()  # JAX knows where to look


def _join_named():
  given = {name: os.environ.get(name, '') for name in EXPLICIT}
  address, count, index = given.values()
  _, colon, port = address.rpartition(':')
  numbers = [text.isdecimal() for text in (port, count, index)]
  if not (colon and all(numbers) and int(index) < int(count)):
    raise ValueError(
      f'Several hosts need {", ".join(EXPLICIT)}, as in host-0:8476, 4 and 0 '
      f'to 3, or none of them; got {given}.'
    )
  jax.distributed.initialize(
    address, int(count), int(index), cluster_detection_method='deactivate'
  )


def _is_slurm() -> bool:
  """Whether this is one of several tasks of an `srun`.

  JAX gives each task the one GPU of its number on the node.
  """
  environment = os.environ
  if int(environment.get('SLURM_STEP_NUM_TASKS', 1)) == 1:
    return False
  # 8(x2),4: eight tasks on each of two nodes, four on a third.
  layout = environment.get('SLURM_STEP_TASKS_PER_NODE', '')
  tasks = layout.partition('(')[0].partition(',')[0]
  gpus = environment.get('SLURM_GPUS_ON_NODE', tasks)
  if tasks != gpus:
    raise ValueError(
      f'SLURM started {tasks} tasks a node, with {gpus} GPUs; each task takes '
      f'one GPU. Ask for --ntasks-per-node={gpus}.'
    )
  return True


def _is_tpu_pod() -> bool:
  """Whether JAX, when imported, has found TPU chips that may have company."""
  environment = os.environ
  if not (jax.config.jax_platforms or '').startswith('tpu'):
    return False
  # GKE names the workers, and the slices if there are several.
  for name in ('TPU_PROCESS_ADDRESSES', 'TPU_WORKER_HOSTNAMES'):
    if name in environment:
      several_slices = int(environment.get('MEGASCALE_NUM_SLICES', 1)) > 1
      return ',' in environment[name] or several_slices
  # A TPU VM asks its metadata server, unless it is told that there is none.
  return 'TPU_SKIP_MDS_QUERY' not in environment


def cache_compilations() -> None:
  """Keeps compiled programs for the next start (JAX_COMPILATION_CACHE_DIR)."""
  if not jax.config.jax_compilation_cache_dir:
    folder = pathlib.Path('~/.cache/palette_jax/xla').expanduser()
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # Also the many small ones: together they delay a start by seconds.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
