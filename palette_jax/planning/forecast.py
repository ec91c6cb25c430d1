"""A plan in words, several in a table, and weak scaling as a picture."""

import collections
from collections.abc import Sequence

import ml_collections
from PIL import Image, ImageDraw, ImageFont

from palette_jax.planning import plan as plans

GIB, TERA, GIGA = 2**30, 1e12, 1e9
# Palette, section 5.5: 1000 steps, "TPUv4"; how many chips is not said.
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


def text(plan: plans.Plan, config: ml_collections.ConfigDict) -> str:
  """Everything that is known of one plan, in lines."""
  topology = plan.topology
  chip = topology.chip
  unit = 'step' if plan.mode == 'train' else 'batch'
  overlapped = max(plan.computing, plan.sending)
  settings = ', '.join(f'{k} {v}' for k, v in plan.settings.items())
  loops = collections.Counter(plan.program.loops)
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
    f'loops               {_loops(loops)}',
    f'computing           {1e3 * plan.computing:.1f} ms '
    f'({plan.program.cycles / 1e6:.1f}M cycles at {chip.clock / 1e9:.2f} GHz)',
    f'sending             {1e3 * plan.sending:.1f} ms',
    f'{unit:<20}{1e3 * plan.seconds:.1f} ms with nothing overlapped, '
    f'{1e3 * overlapped:.1f} ms with everything',
    f'share of peak       {plan.share:.1%} (not overlapped, of '
    f'{chip.peak_flops / TERA:g} TFLOP/s)',
  ]
  if plan.mode == 'train':
    days, hours = _cost(plan, config.train.steps)
    lines += [
      f'speed               {plan.batch / plan.seconds:.0f} images/s, '
      f'{plan.batch / overlapped:.0f} with everything overlapped',
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


def _collectives(plan):
  found = collections.Counter()
  for one in plan.program.collectives:
    if len(one.group) > 1:
      key = one.kind, one.dtype, len(one.group)
      found[key] += one.times
      found[key, 'size'] += one.times * one.size
      found[key, 'sent'] += one.times * one.sent
  for key in sorted(key for key in found if len(key) == 3):
    kind, dtype, among = key
    yield (
      f'{kind:<20}{found[key]} of {dtype} among {among} devices: '
      f'{found[key, "size"] / GIGA:.3f} GB, '
      f'{found[key, "sent"] / GIGA:.3f} GB sent by each'
    )


def _loops(loops):
  if not loops:
    return 'none'
  unknown = loops.pop(None, 0)
  words = [
    f'{count} of {trips} turns' for trips, count in sorted(loops.items())
  ]
  if unknown:
    words.append(f'{unknown} of an unknown number of turns, counted as one')
  return ', '.join(words)


def _cost(plan, steps):
  """Days, and hours of chips, with nothing overlapped."""
  hours = steps * plan.seconds / 3600
  return hours / 24, hours * plan.topology.chips


def table(made: Sequence[plans.Plan], config: ml_collections.ConfigDict) -> str:
  """Plans of training, one a row, in Markdown."""
  rows = [_COLUMNS, ['---', *['---:'] * (len(_COLUMNS) - 1)]]
  for plan in made:
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
        f'{1e3 * max(plan.computing, plan.sending):.0f}',
        f'{plan.share:.1%}',
        f'{plan.batch / plan.seconds:,.0f}',
        f'{days:.1f}',
        f'{hours:,.0f}',
      ]
    )
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def scaling(made: Sequence[plans.Plan]) -> Image.Image:
  """Weak scaling: speed of a chip over the number of chips.

  Two curves, everything overlapped and nothing, in percent of the first of
  them on the smallest slice.
  """
  made = sorted(made, key=lambda plan: plan.topology.chips)
  chips = [plan.topology.chips for plan in made]

  def per_chip(seconds):
    return [p.batch / p.topology.chips / s for p, s in zip(made, seconds)]

  nothing = per_chip([plan.seconds for plan in made])
  everything = per_chip([max(p.computing, p.sending) for p in made])
  curves = {
    ('all sending overlapped', '#1f77b4'): everything,
    ('nothing overlapped', '#d62728'): nothing,
  }
  width, height, left, top = 720, 440, 70, 60
  picture = Image.new('RGB', (width, height), 'white')
  draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)

  def x(i):
    return left + 20 + i * (width - left - 80) / max(1, len(chips) - 1)

  def y(percent):
    return height - 60 - percent / 110 * (height - 60 - top)

  for percent in range(0, 101, 20):
    draw.line([left, y(percent), width - 30, y(percent)], fill='#dddddd')
    draw.text((left - 8, y(percent)), f'{percent}%', '#333333', font, 'rm')
  for i, count in enumerate(chips):
    draw.text((x(i), height - 50), str(count), '#333333', font, 'ma')
  draw.text((width / 2, height - 26), 'chips', '#333333', font, 'ma')
  title = (
    f'{made[0].topology.chip.name}, {made[0].batch / chips[0]:g} images a '
    f'chip: speed of a chip (100% = {everything[0]:.3g} images/s)'
  )
  draw.text((left, 14), title, 'black', font)
  for row, ((label, color), speeds) in enumerate(curves.items()):
    points = [(x(i), y(100 * s / everything[0])) for i, s in enumerate(speeds)]
    draw.line(points, fill=color, width=3)
    for px, py in points:
      draw.ellipse([px - 4, py - 4, px + 4, py + 4], fill=color)
    label_y = y(40) + 24 * row
    draw.line([left + 30, label_y, left + 54, label_y], fill=color, width=3)
    draw.text((left + 64, label_y), label, color, font, 'lm')
  return picture
