"""The launchers: what they would do, and that others would take it."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

from palette_jax.training import preemption

SHELL = [
  'launch/docs',
  'launch/install',
  'launch/quickstart',
  'launch/test',
  '.ci/run',
]
TRAIN = ['python', '-m', 'palette_jax.main', '--config=c.py:tiny', "--x='a b'"]
LAUNCHERS = {  # a command line of each that it would run
  'local_hosts': ['2', *TRAIN],
  'slurm': ['--nodes=2', '--', *TRAIN],
  'gke': ['--image=i', '--topology=v5e:4x4', '--', *TRAIN],
  'tpu_vm': ['run', '--zone=z', '--', *TRAIN],
}
TPUS = {  # chips, hosts on GKE, gcloud's type
  'v4:2x2x1': (4, 1, 'v4-8'),
  'v5e:1x1': (1, 1, 'v5litepod-1'),
  'v5e:4x4': (16, 4, 'v5litepod-16'),
  'v5e:16x16': (256, 64, 'v5litepod-256'),
  'v5p:2x2x1': (4, 1, 'v5p-8'),
  'v5p:8x8x16': (1024, 256, 'v5p-2048'),
  'v6e:2x4': (8, 2, 'v6e-8'),
}


def launch(name, *args):
  return subprocess.run(
    [sys.executable, str(ROOT / 'launch' / name), *args],
    capture_output=True,
    text=True,
    timeout=60,
  )


def would(name, *args):
  """Returns the command that a launcher prints, and its script or manifest."""
  done = launch(name, '--dry-run', *args)
  assert done.returncode == 0, done.stderr
  line, _, text = done.stdout.partition(" <<'EOF'\n")
  return line, text.removesuffix('EOF\n')


def manifest(*args):
  line, text = would('gke', '--image=i', *args, '--', *TRAIN)
  assert line == 'kubectl apply -f -'
  return json.loads(text)


def pod(jobset):
  (job,) = jobset['spec']['replicatedJobs']
  return job['template']['spec']['template']['spec']


def test_every_file_in_launch_is_tested():
  names = {path.name for path in (ROOT / 'launch').iterdir() if path.is_file()}
  shell = {path.removeprefix('launch/') for path in SHELL if 'launch' in path}
  assert names == LAUNCHERS.keys() | shell | {'commands.py', 'tpus.py'}


@pytest.mark.parametrize('name', LAUNCHERS)
def test_every_launcher_is_executable_and_has_help(name):
  assert (ROOT / 'launch' / name).stat().st_mode & 0o111
  text = launch(name, '--help').stdout
  assert f'launch/{name}' in text and '--dry-run' in text


@pytest.mark.parametrize('name', LAUNCHERS)
def test_a_dry_run_shows_the_command_as_it_was_given(name):
  line, text = would(name, *LAUNCHERS[name])
  if name == 'gke':
    (container,) = pod(json.loads(text))['containers']
    assert container['command'] == TRAIN
  elif name == 'tpu_vm':
    assert shlex.join(TRAIN) in shlex.split(line)[-2]
  else:
    assert shlex.join(TRAIN) in line + text


def written(page):
  """Yields the launchers' command lines in the examples of a page."""
  text = (ROOT / page).read_text()
  for block in re.findall(r'```bash\n(.*?)```', text, re.S):
    for line in block.replace('\\\n', ' ').splitlines():
      words = shlex.split(line, comments=True)
      if words and words[0].removeprefix('launch/') in LAUNCHERS:
        yield words


def test_the_commands_of_the_page_are_valid():
  commands = list(written('docs/from_laptop_to_pod.md'))
  assert {words[0].removeprefix('launch/') for words in commands} == {
    *LAUNCHERS
  }
  for name, *args in commands:
    done = launch(name.removeprefix('launch/'), '--dry-run', *args)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (
      ['gke', '--image=i', '--topology=v5:4x4'],
      'GENERATION:SIDES.*v4, v5e, v5p',
    ),
    (['gke', '--image=i', '--topology=v5e:4x4x4'], 'v5e has 2 sides'),
    (['gke', '--image=i', '--topology=v5e:3x3'], 'has 9 chips'),
    (['gke', '--image=i', '--topology=v5e:0x4'], 'v5e has 2 sides'),
    (['gke', '--image=i', '--topology=v5e:4x4'], 'give a command'),
    (['gke', '--image=i', '--', 'x'], 'topology.*accelerator.*required'),
    (
      ['gke', '--image=i', '--topology=v5e:4x4', '--name=A', '--', 'x'],
      'a letter first',
    ),
    (
      ['gke', '--image=i', '--accelerator=a', '--xpk=c', '--', 'x'],
      '--xpk takes',
    ),
    (['slurm', '--nodes=2'], 'give a command'),
    (['slurm', '--nodes=0', '--', 'x'], 'a number of at least 1'),
    (['tpu_vm', 'run', '--zone=z'], 'give a command after --'),
    (['tpu_vm', 'create', '--zone=z'], 'give --topology with create'),
    (['local_hosts', '2'], 'give a number of processes and a command'),
    (['local_hosts', '2', 'no-such'], 'there is no program no-such'),
  ],
)
def test_a_wrong_command_line_is_refused(args, message):
  done = launch(args[0], '--dry-run', *args[1:])
  assert done.returncode == 2 and not done.stdout
  assert re.search(message, done.stderr, re.S), done.stderr


@pytest.mark.parametrize('topology', TPUS)
def test_a_topology_has_the_names_of_google_s_tools(topology):
  """gcloud counts cores of v4 and v5p, chips of the others."""
  chips, hosts, kind = TPUS[topology]
  jobset = manifest(f'--topology={topology}', '--slices=3')
  (job,) = jobset['spec']['replicatedJobs']
  assert job['replicas'] == 3
  assert job['template']['spec']['parallelism'] == hosts
  assert job['template']['spec']['completions'] == hosts
  (container,) = pod(jobset)['containers']
  assert container['resources']['limits'] == {'google.com/tpu': chips // hosts}
  shape = topology.partition(':')[2]
  selector = pod(jobset)['nodeSelector']
  assert selector['cloud.google.com/gke-tpu-topology'] == shape
  line, _ = would(
    'gke', '--image=i', f'--topology={topology}', '--xpk=c', '--', 'train'
  )
  assert f'--tpu-type={kind} ' in line
  line, _ = would('tpu_vm', 'create', '--zone=z', f'--topology={topology}')
  if topology.startswith('v4:'):  # the only one whose shape gcloud takes
    assert f'--type=v4 --topology={shape} ' in line
  else:
    assert f'--accelerator-type={kind} ' in line


def test_gpu_nodes_get_the_address_of_the_first_host():
  jobset = manifest('--accelerator=nvidia-l4', '--nodes=3', '--gpus=4')
  (container,) = pod(jobset)['containers']
  variables = {variable['name']: variable for variable in container['env']}
  # A JobSet's pods: SET-JOB-REPLICA-POD in a subdomain of the set's name.
  first = 'palette-workers-0-0.palette:8476'
  assert variables['COORDINATOR_ADDRESS']['value'] == first
  assert variables['NUM_PROCESSES']['value'] == '3'
  field = variables['PROCESS_ID']['valueFrom']['fieldRef']['fieldPath']
  assert 'job-completion-index' in field
  assert container['resources']['limits'] == {'nvidia.com/gpu': 4}


def test_every_launcher_restarts_a_run_that_stopped_on_request():
  jobset = manifest('--topology=v5e:4x4')
  (job,) = jobset['spec']['replicatedJobs']
  rules = job['template']['spec']['podFailurePolicy']['rules']
  assert {'containerName': 'palette', 'operator': 'In', 'values': [75]} in [
    rule.get('onExitCodes') for rule in rules
  ]
  (rule,) = jobset['spec']['failurePolicy']['rules']
  assert rule['action'] == 'RestartJobSetAndIgnoreMaxRestarts'
  assert rule['onJobFailureReasons'] == ['PodFailurePolicy']
  xpk = ['--topology=v5e:4x4', '--xpk=c', '--', 'train']
  assert '--restart-on-exit-codes=75 ' in would('gke', '--image=i', *xpk)[0]
  _, script = would('slurm', '--', 'train')
  for part in ('--signal=TERM@', '--requeue', '-eq 75', 'scontrol requeue'):
    assert part in script


def test_slurm_starts_one_process_a_gpu():
  _, script = would(
    'slurm', '--nodes=3', '--gpus=4', '--sbatch=--partition=a100', '--', 'train'
  )
  for option in (
    '--nodes=3',
    '--ntasks-per-node=4',
    '--gpus-per-node=4',
    '--partition=a100',
  ):
    assert f'#SBATCH {option}\n' in script
  assert '--gpus-per-task' not in script  # JAX picks: all must be visible


def test_tpu_vms_are_queued_installed_and_stopped():
  def line(action, *args):
    done = launch('tpu_vm', '--dry-run', action, '--zone=z', *args)
    assert done.returncode == 0, done.stderr
    return done.stdout

  created = line('create', '--topology=v5e:4x4', '--spot')
  assert 'queued-resources create palette ' in created and '--spot' in created
  installed = line('install')
  assert 'git ' in installed and ' --worker=all' in installed
  assert 'launch/install --tpu' in installed
  assert '--worker=all' in line('run', '--', *TRAIN)
  assert 'kill -TERM' in line('stop')
  assert 'queued-resources delete palette ' in line('delete')


@pytest.mark.parametrize('script', SHELL)
def test_shell_scripts_are_executable_and_parse(script):
  path = ROOT / script
  assert path.stat().st_mode & 0o111
  subprocess.run(['bash', '-n', str(path)], check=True)


def test_install_refuses_unknown_options():
  done = subprocess.run(
    [str(ROOT / 'launch/install'), '--tpus'], capture_output=True, text=True
  )
  assert done.returncode == 1 and 'Usage' in done.stderr


def hosts(count, script, *options):
  return subprocess.run(
    [
      *(sys.executable, str(ROOT / 'launch/local_hosts'), *options),
      *(str(count), 'bash', '-c', script),
    ],
    capture_output=True,
    text=True,
    timeout=60,
  )


def test_local_hosts_get_each_other_s_address():
  done = hosts(3, 'echo $PROCESS_ID of $NUM_PROCESSES at $COORDINATOR_ADDRESS')
  assert done.returncode == 0
  match = re.fullmatch(r'0 of 3 at (localhost:\d+)\n', done.stdout)
  assert sorted(done.stderr.splitlines()) == [
    f'[{i}] {i} of 3 at {match[1]}' for i in (1, 2)
  ]


def test_local_hosts_end_with_the_first_failure():
  failing = 'if [ $PROCESS_ID = 1 ]; then exit 7; fi; '
  assert hosts(3, failing).returncode == 7
  done = hosts(2, failing + 'exec sleep 50', '--grace=0.2')
  assert done.returncode == 7 and 'Killing process 0' in done.stderr
  assert hosts(2, 'kill -9 $$').returncode == 137


@pytest.mark.parametrize('name', ['TERM', 'INT'])
def test_local_hosts_pass_signals_on(name):
  script = f'trap "exit 75" {name}; echo ready; while :; do sleep 0.05; done'
  process = subprocess.Popen(
    [
      *(sys.executable, str(ROOT / 'launch/local_hosts'), '2'),
      *('bash', '-c', script),
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'ready\n'
  assert process.stderr.readline() == '[1] ready\n'
  subprocess.run(['kill', f'-{name}', str(process.pid)], check=True)
  process.communicate(timeout=60)
  assert process.returncode == 75


# What a JobSet may have, of what the manifests have: the fields of v1alpha2 in
# the definition of kubernetes-sigs/jobset. The jobs inside are Kubernetes' own.
JOBSET = {
  'required': ['apiVersion', 'kind', 'metadata', 'spec'],
  'additionalProperties': False,
  'properties': {
    'apiVersion': {'const': 'jobset.x-k8s.io/v1alpha2'},
    'kind': {'const': 'JobSet'},
    'metadata': {
      'required': ['name'],
      'additionalProperties': False,
      'properties': {
        'name': {'type': 'string'},
        'annotations': {'additionalProperties': {'type': 'string'}},
      },
    },
    'spec': {
      'additionalProperties': False,
      'properties': {
        'failurePolicy': {
          'additionalProperties': False,
          'properties': {
            'maxRestarts': {'type': 'integer'},
            'rules': {
              'type': 'array',
              'items': {
                'required': ['name', 'action'],
                'additionalProperties': False,
                'properties': {
                  'name': {
                    'pattern': '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$'
                  },
                  'action': {
                    'enum': [
                      'FailJobSet',
                      'RestartJobSet',
                      'RestartJobSetAndIgnoreMaxRestarts',
                    ]
                  },
                  'onJobFailureReasons': {
                    'type': 'array',
                    'items': {'type': 'string'},
                  },
                },
              },
            },
          },
        },
        'replicatedJobs': {
          'type': 'array',
          'items': {
            'required': ['name', 'template'],
            'additionalProperties': False,
            'properties': {
              'name': {'type': 'string'},
              'replicas': {'type': 'integer'},
              'template': {'required': ['spec']},
            },
          },
        },
      },
    },
  },
}


@pytest.mark.slow
@pytest.mark.parametrize(
  'args',
  [
    ['--topology=v5e:16x16', '--slices=2', '--spot', '--service-account=s'],
    ['--topology=v5p:2x2x1'],
    ['--accelerator=nvidia-h100-80gb', '--nodes=4', '--spot'],
  ],
)
def test_manifests_parse_against_their_schemas(args):
  import jsonschema
  import kubernetes_validate

  jobset = manifest(*args)
  jsonschema.validate(jobset, JOBSET)
  (job,) = jobset['spec']['replicatedJobs']

  def check(spec):
    kubernetes_validate.validate(
      {
        'apiVersion': 'batch/v1',
        'kind': 'Job',
        'metadata': {'name': 'workers'},
        'spec': spec,
      },
      kubernetes_validate.latest_version(),
      strict=True,
    )

  check(job['template']['spec'])
  # The check can fail.
  with pytest.raises(kubernetes_validate.ValidationError):
    check({**job['template']['spec'], 'paralelism': 2})
  with pytest.raises(jsonschema.ValidationError):
    jsonschema.validate({**jobset, 'spek': {}}, JOBSET)


@pytest.mark.slow
def test_shellcheck_has_no_complaints(tmp_path):
  """Neither in the scripts nor in those that launchers render."""
  scripts = [str(ROOT / script) for script in SHELL]
  texts = {'job': would('slurm', '--', *TRAIN)[1]}
  for action in ('install', 'run', 'stop', 'log'):
    more = ['--', *TRAIN] if action == 'run' else []
    done = launch('tpu_vm', '--dry-run', action, '--zone=z', *more)
    (text,) = re.findall(r"'--command=(.*)' --zone", done.stdout, re.S)
    texts[action] = '#!/usr/bin/env bash\n' + text.replace("'\"'\"'", "'")
  for name, text in texts.items():
    scripts.append(str(tmp_path / name))
    pathlib.Path(scripts[-1]).write_text(text)
    subprocess.run(['bash', '-n', scripts[-1]], check=True)
  checker = pathlib.Path(sys.executable).parent / 'shellcheck'
  done = subprocess.run([checker, *scripts], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_dockerfile_parses_and_copies_existing_files():
  import dockerfile_parse

  parser = dockerfile_parse.DockerfileParser(str(ROOT / 'Dockerfile'))
  steps = [(step['instruction'], step['value']) for step in parser.structure]
  known = {'COMMENT', 'FROM', 'ARG', 'ENV', 'WORKDIR', 'COPY', 'RUN', 'CMD'}
  assert {name for name, _ in steps} == known
  assert parser.baseimage == 'python:3.12-slim'
  for name, value in steps:
    if name == 'COPY':
      for source in value.split()[:-1]:
        assert (ROOT / source).exists(), source
    if name == 'CMD':  # a list: SIGTERM reaches Python
      assert json.loads(value)[:3] == TRAIN[:3]
  (extra,) = re.findall(r'ARG ACCELERATOR=(\w+)', parser.content)
  assert f"'{extra}': [" in (ROOT / 'setup.py').read_text()


def test_launchers_know_the_exit_code_of_a_stopped_run():
  """launch/ imports nothing of the package, so the code stands twice."""
  commands = (ROOT / 'launch/commands.py').read_text()
  assert f'\nRUN_AGAIN = {preemption.EXIT_CODE}\n' in commands
