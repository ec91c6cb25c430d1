"""The `palette` command.

  palette import --from=janspiry 200_Network_ema.pth weights/places2
  palette export runs/colorize colorize.safetensors

Each subcommand calls one function elsewhere.

Next: palette_jax/main.py
"""

import argparse
import sys
from collections.abc import Sequence

from palette_jax import console


def main(argv: Sequence[str] | None = None) -> None:
  """Does what the command line says; whatever is wrong is one sentence."""
  args = parser().parse_args(argv)
  console.simplify_logging()
  try:
    args.run(args)
  except (ValueError, FileNotFoundError) as error:
    if not console.is_for_the_user(error):
      raise
    sys.exit(f'\n{error}')


def parser() -> argparse.ArgumentParser:
  """The command line, by subcommands."""
  palette = argparse.ArgumentParser(
    'palette', description='Palette: image-to-image diffusion models, in JAX.'
  )
  commands = palette.add_subparsers(required=True, metavar='COMMAND')

  command = commands.add_parser(
    'import', help="another project's weights -> a checkpoint"
  )
  command.add_argument(
    '--from',
    dest='source',
    required=True,
    choices=['guided-diffusion', 'janspiry', 'palette'],
    help='where the file comes from; palette: from `palette export`',
  )
  command.add_argument(
    '--head-channels',
    type=int,
    help='channels of an attention head, which tensors do not show '
    '(guided-diffusion: 64, janspiry: 32)',
  )
  command.add_argument(
    '--new-attention-order',
    action='store_true',
    help='if it was trained with use_new_attention_order, which tensors do not '
    'show either',
  )
  command.add_argument('file', metavar='IN')
  command.add_argument('folder', metavar='OUT_DIR')
  command.set_defaults(run=import_weights)

  command = commands.add_parser(
    'export', help="a checkpoint's averaged weights -> one file"
  )
  command.add_argument(
    '--format', choices=['safetensors', 'torch'], default='safetensors'
  )
  command.add_argument('workdir', metavar='WORKDIR')
  command.add_argument('file', metavar='OUT')
  command.set_defaults(run=export_weights)
  return palette


def import_weights(args: argparse.Namespace) -> None:
  """palette import."""
  from palette_jax.interop import importer
  from palette_jax.models import unet

  model = importer.import_weights(
    args.source,
    args.file,
    args.folder,
    args.head_channels,
    args.new_attention_order,
  )
  print(f'{args.file}: {unet.summary(model)}')
  print(f'The checkpoint is in {args.folder}. To sample it, or train it on:')
  print(
    f'  python -m palette_jax.main --config=configs/inpaint.py:model='
    f'{args.folder} --workdir={args.folder} --mode=sample'
  )


def export_weights(args: argparse.Namespace) -> None:
  """palette export."""
  from palette_jax.interop import exporter
  from palette_jax.models import unet

  model = exporter.write(args.workdir, args.file, args.format)
  print(f'{args.file}: {unet.summary(model)}')


if __name__ == '__main__':
  main()
