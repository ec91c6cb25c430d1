"""Pages hold: commands parse, paths and links exist, examples run."""

import argparse
import importlib.util
import pathlib
import pkgutil
import re
import shlex
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

import palette_jax
from palette_jax import cli, settings, tasks
from tools import site

PAGES = {page.relative_to(ROOT).as_posix(): page for page in site.pages()}
WITH_CONFIG = ('evaluate', 'inspect', 'plan')
# Lines of shell in fences, in indented blocks, and between backticks.
FENCE = re.compile(r'^ *```bash\n(.*?)^ *```$', re.M | re.S)
INDENTED = re.compile(r'(?:^(?: {4,}.*)?\n)+', re.M)
INLINE = re.compile(r'(?<!`)`([^`]+)`(?!`)')
COMMAND = re.compile(r'(palette|python -m) [a-z]')


def prose(text: str) -> str:
  return re.sub(r'^ *```.*?^ *```$', '', text, flags=re.M | re.S)


def lines(block: str) -> Iterator[list[str]]:
  """The words of each command; a quoted string may go over several lines."""
  rest = ''
  for line in block.replace('\\\n', ' ').splitlines():
    rest += f'{line}\n'
    try:
      words = shlex.split(rest, comments=True)
    except ValueError:  # inside of quotes
      continue
    rest = ''
    if words:
      yield words
  assert not rest, rest


def commands(page: str) -> list[list[str]]:
  """The commands that a page shows, to be typed as they are."""
  text = PAGES[page].read_text()
  blocks = FENCE.findall(text)
  for block in INDENTED.findall(prose(text)):
    if COMMAND.match(block.strip()):
      blocks.append(block)
  return [words for block in blocks for words in lines(block)]


def mentions(page: str) -> list[list[str]]:
  """Commands in the middle of a sentence: options may be left out."""
  spans = [
    ' '.join(span.split()) for span in INLINE.findall(PAGES[page].read_text())
  ]
  return [shlex.split(span) for span in spans if COMMAND.match(span)]


def subcommands() -> dict[str, argparse.ArgumentParser]:
  (choices,) = [
    action.choices
    for action in cli.parser()._actions
    if isinstance(action, argparse._SubParsersAction)
  ]
  return choices


def options(words: list[str]) -> list[str]:
  return [word.partition('=')[0] for word in words if word.startswith('--')]


def take_config(words: list[str]):
  """Parses --config and its fields; no folder of another run has to exist."""
  return settings.take([re.sub(r',?model=[^,]+', '', word) for word in words])


def parse(words: list[str]) -> None:
  """Parses a command line as its program would; others are let through."""
  words = [word for word in words if not word.startswith('$')]
  if '...' in words or any(word.endswith('=...') for word in words):
    words = [word for word in words if not word.endswith('...')]
    return check_options(words)
  if words[0] == 'palette':
    config, rest = None, words[1:]
    if rest[0] in WITH_CONFIG:
      config, rest = take_config(rest)
    cli.parser().parse_args(rest, argparse.Namespace(config=config))
  elif words[:3] == ['python', '-m', 'palette_jax.main']:
    config, rest = take_config(words[3:])
    assert config is not None
    check_options([*words[:3], *rest])
  else:
    check_options(words)


def check_options(words: list[str]) -> None:
  """Checks that a program exists and has the options."""
  if words[0] == 'palette':
    command = subcommands()[words[1]]
    known = command._option_string_actions
    for option in options(words):
      if words[1] not in WITH_CONFIG or not option.startswith('--config'):
        assert option in known, words
  elif words[:2] == ['python', '-m']:
    if words[2].split('.')[0] in ('palette_jax', 'benchmarks', 'tools'):
      spec = importlib.util.find_spec(words[2])
      assert spec is not None and spec.origin is not None, words
      source = pathlib.Path(spec.origin).read_text()
      for option in options(words):
        name = option.removeprefix('--')
        if name != 'help' and not name.startswith('config'):
          assert re.search(rf"'(--)?{name}'", source), words
  elif words[0].startswith(('launch/', '.ci/')):
    assert (ROOT / words[0]).exists(), words


@pytest.mark.parametrize('page', PAGES)
def test_commands_parse(page):
  for words in commands(page):
    try:
      parse(words)
    except SystemExit as error:
      pytest.fail(f'{page}: {shlex.join(words)}: {error}')


@pytest.mark.parametrize('page', PAGES)
def test_commands_in_sentences_have_their_options(page):
  for words in mentions(page):
    if words[0] == 'palette' and not words[1].islower():
      continue  # palette VERB
    if words[1] == 'deblur':
      continue  # the guide's example
    check_options([word for word in words if not word.startswith('[')])


def test_the_pages_show_every_command():
  typed = [words for page in PAGES for words in commands(page)]
  shown = {words[1] for words in typed if words[0] == 'palette'}
  assert shown == set(subcommands())


@pytest.mark.parametrize('page', PAGES)
def test_files_exist(page):
  paths = re.findall(
    r'(?<![\w/.])(?:benchmarks|configs|docs|launch|notebooks|palette_jax|results'
    r'|tests|tools)/[\w/-]+(?:\.\w+)?',
    PAGES[page].read_text(),
  )
  for path in paths:
    here = PAGES[page].parent / path  # or from the root, as most
    assert (ROOT / path).exists() or here.exists(), path


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
  file = PAGES[page]
  for target in site.links(file):
    assert target.exists(), target
    assert target.is_relative_to(ROOT)
  for link, anchor in re.findall(
    r'\]\(([^)\s#:]*)#([^)]+)\)', prose(file.read_text())
  ):
    target = (file.parent / link).resolve() if link else file
    titles = re.findall(r'^#+ (.*)$', target.read_text(), re.M)
    slugs = [re.sub(r'[^\w\s-]', '', title).strip().lower() for title in titles]
    assert anchor in [re.sub(r'[\s-]+', '-', slug) for slug in slugs]


@pytest.mark.parametrize('page', PAGES)
def test_extras_exist(page):
  setup = (ROOT / 'setup.py').read_text().partition('extras_require')[2]
  for extras in re.findall(r"'[.\w]+\[([\w,]+)\]'", PAGES[page].read_text()):
    for extra in extras.split(','):
      assert f"'{extra}': " in setup, extra


def test_every_page_is_in_the_navigation_once():
  nav = (ROOT / 'mkdocs.yml').read_text().partition('\nnav:')[2]
  listed = re.findall(r': ([\w/]+\.md)$', nav, re.M)
  assert sorted(listed) == sorted(
    site.place(page).as_posix() for page in PAGES.values()
  )


def test_a_page_lies_beside_what_it_shows(tmp_path):
  site.stage(tmp_path)
  for page in tmp_path.glob('*.md'):
    for link in site._LINK.findall(prose(page.read_text())):
      assert (tmp_path / link).exists(), (page.name, link)


def test_a_missing_file_is_an_error(tmp_path, monkeypatch):
  page = tmp_path / 'docs/page.md'
  page.parent.mkdir()
  page.write_text('[Here](nowhere.md)')
  monkeypatch.setattr(site, 'ROOT', tmp_path)
  monkeypatch.setattr(site, 'ELSEWHERE', {})
  with pytest.raises(ValueError, match='nowhere.md'):
    site.stage(tmp_path / 'build')


def test_nothing_is_loaded_from_elsewhere():
  config = (ROOT / 'mkdocs.yml').read_text()
  assert 'font: false' in config
  for page in PAGES.values():
    assert not re.search(
      r'!\[[^]]*\]\(\w+:|<(img|script|link)\b', page.read_text()
    )


def test_the_reference_names_what_exists():
  names = re.findall(r'^::: ([\w.]+)$', PAGES['docs/api.md'].read_text(), re.M)
  assert len(names) > 10
  for name in names:
    value = pkgutil.resolve_name(name)
    assert value.__doc__


def test_the_examples_of_the_reference_run(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  blocks = re.findall(
    r'^```python\n(.*?)^```$', PAGES['docs/api.md'].read_text(), re.M | re.S
  )
  assert len(blocks) > 5
  names: dict = {}
  for block in blocks:
    exec(compile(block, 'docs/api.md', 'exec'), names)
  assert 0 < names['loss'] < 10
  assert np.isfinite(np.asarray(names['image'])).all()


def test_the_guides_task_is_a_task(tmp_path, monkeypatch):
  (code,) = re.findall(
    r'^```python\n(.*?)^```$',
    PAGES['docs/training.md'].read_text(),
    re.M | re.S,
  )
  (tmp_path / 'deblur.py').write_text(code)
  monkeypatch.setattr(tasks, '__path__', [*tasks.__path__, str(tmp_path)])
  monkeypatch.delitem(sys.modules, 'palette_jax.tasks.deblur', raising=False)
  assert 'deblur' in subcommands()
  image = np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8)
  corrupt = tasks.corruption('deblur')
  target, cond, _ = corrupt({'image': tf.constant(image)}, tf.constant([0, 0]))
  assert np.array_equal(target, image)
  mean = image[2:5, 2:5].astype(float).mean((0, 1))
  assert np.abs(cond.numpy()[3, 3] - mean).max() <= 0.5
  assert settings.load('deblur').task.name == 'deblur'


def test_one_version_is_released():
  changelog = (ROOT / 'CHANGELOG.md').read_text()
  citation = (ROOT / 'CITATION.cff').read_text()
  version, date = re.search(
    r'^## ([\d.]+) - ([\d-]+)$', changelog, re.M
  ).groups()
  assert version == palette_jax.__version__
  assert f'\nversion: {version}\ndate-released: {date!r}\n' in citation


def test_the_readme_is_short():
  text = PAGES['README.md'].read_text()
  assert len(text.splitlines()) <= 150
  assert len(re.findall(r'!\[', text)) == 1
