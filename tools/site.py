"""Builds the documentation site, or serves it while you write.

  python -m tools.site            # as launch/docs, which installs what it needs
  python -m tools.site --build

Pages are also read in the repository, where they link to files outside docs/.
The generator reads a copy, build/docs, that contains these files.
"""

import argparse
import pathlib
import re
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
  """Returns the path of a file of the repository in the generator's copy."""
  name = file.relative_to(ROOT).as_posix()
  return pathlib.Path(ELSEWHERE.get(name, name.removeprefix('docs/')))


def contents() -> dict[pathlib.Path, bytes]:
  """Returns the files of the generator's copy: pages, and what they show.

  Raises:
    ValueError: if a page links to a file that does not exist.
  """
  files = {place(file): file.read_bytes() for file in ROOT.glob('docs/**/*.*')}
  for page in pages():
    for file in links(page):
      if not file.exists():
        raise ValueError(f'{page.relative_to(ROOT)}: there is no {file}.')
      files[place(file)] = file.read_bytes()
  return files | {place(page): _with_links(page).encode() for page in pages()}


def stage(folder: pathlib.Path) -> None:
  """Brings the generator's copy up to date; unchanged files stay untouched.

  Raises:
    ValueError: if a page links to a file that does not exist.
  """
  files = contents()
  for file in folder.glob('**/*.*'):
    if file.relative_to(folder) not in files:
      file.unlink()
  for name, content in files.items():
    file = folder / name
    if not file.exists() or file.read_bytes() != content:
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(content)


def _with_links(page: pathlib.Path) -> str:
  """Returns a page's text, with links as they are in the copy."""

  def moved(link: re.Match[str]) -> str:
    return place((page.parent / link[0]).resolve()).as_posix()

  parts = _FENCE.split(page.read_text())
  parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]  # not in fences
  return ''.join(parts)


def _serve(folder: pathlib.Path) -> None:
  """Serves the site, and stages the pages again whenever one changes."""
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
  """Builds or serves the site."""
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
