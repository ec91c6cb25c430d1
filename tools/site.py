"""Builds the documentation site, or serves it while you write.

  python -m tools.site            # as launch/docs, which installs what it needs
  python -m tools.site --build

Pages are written to be read in the repository, too, where they link to files
outside of docs/. The generator reads a copy, build/docs, that has these files
inside.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
# Pages that do not live in docs/, and their names on the site.
ELSEWHERE = {
  'README.md': 'index.md',
  'CONTRIBUTING.md': 'contributing.md',
  'CHANGELOG.md': 'changelog.md',
  'benchmarks/README.md': 'benchmarks.md',
}
_FENCE = re.compile(r'(^ *```.*?^ *```$)', re.M | re.S)
_LINK = re.compile(r'(?<=\]\()([^)\s#:]+)(?=[)#])')


def pages() -> list[pathlib.Path]:
  """Returns every page's file in the repository."""
  return [*(ROOT / name for name in ELSEWHERE), *ROOT.glob('docs/*.md')]


def links(page: pathlib.Path) -> list[pathlib.Path]:
  """Returns the repository's files that a page links to or shows."""
  prose = _FENCE.sub('', page.read_text())
  return [(page.parent / link).resolve() for link in _LINK.findall(prose)]


def place(file: pathlib.Path) -> pathlib.Path:
  """Returns where a file of the repository lies in the generator's copy."""
  name = file.relative_to(ROOT).as_posix()
  return pathlib.Path(ELSEWHERE.get(name, name.removeprefix('docs/')))


def stage(folder: pathlib.Path) -> None:
  """Copies all pages, and what they show, with links that fit the copy.

  Args:
    folder: the copy; what it holds is replaced.

  Raises:
    ValueError: if a page links to a file that does not exist.
  """
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(ROOT / 'docs', folder, ignore=_no_pages)
  for page in pages():
    for file in links(page):
      if not file.exists():
        raise ValueError(f'{page.relative_to(ROOT)}: there is no {file}.')
      if file.suffix != '.md':
        target = folder / place(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    parts = _FENCE.split(page.read_text())
    for i in range(0, len(parts), 2):  # the others are fenced code
      parts[i] = _LINK.sub(lambda link: _moved(page, link[0]), parts[i])  # noqa: B023
    (folder / place(page)).write_text(''.join(parts))


def _no_pages(folder: str, names: list[str]) -> list[str]:
  return [name for name in names if name.endswith('.md')]


def _moved(page: pathlib.Path, link: str) -> str:
  return place((page.parent / link).resolve()).as_posix()


def _serve(folder: pathlib.Path) -> None:
  """Serves the site, and stages pages again when one of them changes."""
  server = subprocess.Popen(_zensical('serve'), cwd=ROOT)
  seen = _times()
  try:
    while server.poll() is None:
      time.sleep(1)
      if (now := _times()) != seen:
        seen = now
        stage(folder)
  except KeyboardInterrupt:
    pass
  finally:
    server.terminate()


def _times() -> dict[pathlib.Path, float]:
  return {page: page.stat().st_mtime for page in pages()}


def _zensical(*arguments: str) -> list[str]:
  return [sys.executable, '-m', 'zensical', *arguments]


def main() -> None:
  """The command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--build', action='store_true', help='build strictly into build/site'
  )
  args = parser.parse_args()
  folder = ROOT / 'build/docs'
  stage(folder)
  if args.build:
    build = _zensical('build', '--strict', '--clean')
    sys.exit(subprocess.run(build, cwd=ROOT).returncode)
  _serve(folder)


if __name__ == '__main__':
  main()
