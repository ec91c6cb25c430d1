"""Markdown tables."""

from collections.abc import Iterable, Sequence


def table(
  header: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1
) -> str:
  """Returns a table, without a newline at its end.

  Args:
    header: titles of the columns.
    rows: cells, written as `str` writes them.
    text_columns: leading columns of text; the others, of numbers, are aligned
      to the right.
  """
  rule = ['---' if i < text_columns else '---:' for i in range(len(header))]
  lines = [_line(header), f'|{"|".join(rule)}|', *map(_line, rows)]
  return '\n'.join(lines)


def _line(cells: Sequence[object]) -> str:
  escaped = (str(cell).replace('|', r'\|') for cell in cells)
  return f'| {" | ".join(escaped)} |'
