"""Plans as text, as a table, and as a chart of weak scaling."""

import collections
from collections.abc import Iterator, Sequence

import ml_collections
from etils import epy

from palette_jax import markdown
from palette_jax.planning import plan as planning

with epy.lazy_imports():
  from matplotlib import figure

GIB, TERA, GIGA = 2**30, 1e12, 1e9
# Palette, section 5.5: 1000 steps on "TPUv4"; it does not state how many chips.
PAPER_SECONDS = 0.8
_COLUMNS = (
  'slice',
  'images/chip',
  'settings',
  'memory, GiB',
  'ms/step',
  'overlapped',
  'share of peak',
  'images/s',
  'days',
  'chip-hours',
)


def text(plan: planning.Plan, config: ml_collections.ConfigDict) -> str:
  """Describes one plan in full."""
  topology = plan.topology
  chip = topology.chip
  unit = 'step' if plan.mode == 'train' else 'batch'
  settings = ', '.join(f'{k} {v}' for k, v in plan.settings.items())
  lines = [
    f'{topology.name}: {topology.chips} chips, {plan.batch} images, {settings}',
    '',
    f'memory of a device  {plan.peak / GIB:.2f} of {chip.hbm_bytes / GIB:.0f} '
    f'GiB: arguments {plan.arguments / GIB:.2f}, temporaries '
    f'{plan.temporaries / GIB:.2f}, code {plan.code / GIB:.2f}; free '
    f'{plan.free / GIB:.2f}',
    f'model FLOPs         {plan.flops / TERA:.3g} TFLOP a device and {unit}',
    f'memory traffic      {plan.accessed / GIGA:.1f} GB a device and {unit}'
    + (' (loops counted once)' if plan.program.loops else ''),
    *_collectives(plan),
    f'loops               {_loops(plan.program.loops)}',
    f'computing           {1e3 * plan.computing:.1f} ms '
    f'({plan.program.cycles / 1e6:.1f}M cycles at {chip.clock / 1e9:.2f} GHz)',
    f'sending             {1e3 * plan.sending:.1f} ms',
    f'{unit:<20}{1e3 * plan.seconds:.1f} ms with nothing overlapped, '
    f'{1e3 * plan.overlapped:.1f} ms with everything',
    f'share of peak       {plan.share:.1%} (not overlapped, of '
    f'{chip.peak_flops / TERA:g} TFLOP/s)',
  ]
  if plan.mode == 'train':
    days, hours = _cost(plan, config.train.steps)
    lines += [
      f'speed               {plan.batch / plan.seconds:.0f} images/s, '
      f'{plan.batch / plan.overlapped:.0f} with everything overlapped',
      f'{config.train.steps:,} steps'.ljust(20)
      + f'{days:.1f} days, {hours:,.0f} chip-hours',
    ]
  else:
    seconds = plan.seconds / plan.batch
    lines += [
      f'an image            {seconds:.3f} s on the slice, '
      f'{seconds * topology.chips:.2f} s on one chip of it; the paper: '
      f'{PAPER_SECONDS} s on "TPUv4", chips not stated',
    ]
  return '\n'.join(lines)


def _collectives(plan: planning.Plan) -> Iterator[str]:
  """Yields a line for each kind of collective."""
  groups = collections.defaultdict(list)
  for collective in plan.program.collectives:
    if len(collective.group) > 1:
      kind = collective.kind, collective.dtype, len(collective.group)
      groups[kind].append(collective)
  for (kind, dtype, among), collectives in sorted(groups.items()):
    times = sum(c.times for c in collectives)
    size = sum(c.times * c.size for c in collectives) / GIGA
    sent = sum(c.times * c.sent for c in collectives) / GIGA
    yield (
      f'{kind:<20}{times} of {dtype} among {among} devices: {size:.3f} GB, '
      f'{sent:.3f} GB sent by each'
    )


def _loops(trips: Sequence[int | None]) -> str:
  counts = collections.Counter(trips)
  if not counts:
    return 'none'
  unknown = counts.pop(None, 0)
  texts = [f'{count} of {n} iterations' for n, count in sorted(counts.items())]
  if unknown:
    texts.append(f'{unknown} of an unknown number of iterations, counted once')
  return ', '.join(texts)


def _cost(plan: planning.Plan, steps: int) -> tuple[float, float]:
  """Returns days and chip-hours, with nothing overlapped."""
  hours = steps * plan.seconds / 3600
  return hours / 24, hours * plan.topology.chips


def table(
  plans: Sequence[planning.Plan], config: ml_collections.ConfigDict
) -> str:
  """Returns plans of training as a Markdown table, a row each."""
  rows = []
  for plan in plans:
    days, hours = _cost(plan, config.train.steps)
    settings = plan.settings
    rows.append(
      [
        plan.topology.name,
        f'{plan.batch / plan.topology.chips:g}',
        f'fsdp {settings["fsdp"]}'
        + f', {settings["accumulation"]} parts' * (settings['accumulation'] > 1)
        + ', remat' * settings['remat'],
        f'{plan.peak / GIB:.1f} of {plan.topology.chip.hbm_bytes / GIB:.0f}',
        f'{1e3 * plan.seconds:.0f}',
        f'{1e3 * plan.overlapped:.0f}',
        f'{plan.share:.1%}',
        f'{plan.batch / plan.seconds:,.0f}',
        f'{days:.1f}',
        f'{hours:,.0f}',
      ]
    )
  return markdown.table(_COLUMNS, rows)


def scaling(plans: Sequence[planning.Plan]) -> 'figure.Figure':
  """Draws weak scaling: the speed of a chip over the number of chips.

  Two curves, with everything and with nothing overlapped, in percent of the
  first of them on the smallest slice.
  """
  plans = sorted(plans, key=lambda plan: plan.topology.chips)
  chips = [plan.topology.chips for plan in plans]
  images = plans[0].batch / chips[0]
  everything, nothing = (
    [plan.batch / plan.topology.chips / getattr(plan, time) for plan in plans]
    for time in ('overlapped', 'seconds')
  )
  picture = figure.Figure(figsize=(7.2, 4.4), layout='constrained')
  axes = picture.subplots()
  for label, speeds in (
    ('all sending overlapped', everything),
    ('nothing overlapped', nothing),
  ):
    percent = [100 * speed / everything[0] for speed in speeds]
    axes.plot(range(len(chips)), percent, 'o-', label=label)
  axes.set_xticks(range(len(chips)), [str(count) for count in chips])
  axes.set_xlabel('chips')
  axes.set_ylabel('speed of a chip, %')
  axes.set_ylim(0, 110)
  axes.grid(axis='y', alpha=0.3)
  axes.legend(loc='lower left')
  axes.set_title(
    f'{plans[0].topology.chip.name}, {images:g} images a chip '
    f'(100% = {everything[0]:.3g} images/s)'
  )
  return picture
