"""How does a table look in a notebook? As HTML that needs no styles, and as aligned text beside it.

Code hosts take styles out of the notebooks that they show. They leave <b>, and the attributes `align`, `rules` and `frame`.
"""

import re
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pandas as pd

MISSING, MARK, RULE = "–", "*", "─"
LINES = 25      # of text, at most


@dataclass(frozen=True, repr=False)
class Table:
    """A table as a notebook displays it: as HTML or, where there is none, as text. Made by `lay_out`."""

    cells: pd.DataFrame         # what is written; of two index levels the first names the group
    best: pd.DataFrame          # where it is bold
    numbers: list[bool]         # per column: does it stand on the right?

    def _repr_html_(self):
        """With <b> for what is best, a rule between groups, numbers on the right."""
        styler = self.cells.style.format(escape="html").format_index(escape="html").format_index(escape="html", axis=1)
        for column in self.cells:
            styler.format("<b>{}</b>", subset=(self.best.index[self.best[column]], [column]), escape="html")
        if self._nameless:
            styler.hide()
        head, _, body = styler.to_html(exclude_styles=True).partition("<tbody>")
        sides = cycle("right" if number else "left" for number in self.numbers)
        body = re.sub("<td ?>", lambda _: f'<td align="{next(sides)}">', body)
        body = re.sub(r'<th( rowspan="\d+")? ?>', r'<th\1 align="left" valign="top">', body)
        rows = [f"<tr>{row}" for row in body.split("<tr>")[1:]]
        for place in self._firsts[1:]:
            rows[place] = f"</tbody><tbody>\n    {rows[place]}"
        return head.replace("<table>", '<table rules="groups" frame="hsides">') + "<tbody>\n    " + "".join(rows)

    def __repr__(self):
        """Aligned, with an asterisk behind what is best and a rule between groups."""
        marks = self.best.apply(lambda column: column.map({True: MARK, False: " " if column.any() else ""}))
        lines = (self.cells + marks).to_string(index=not self._nameless).splitlines()
        rule, depth = RULE * max(map(len, lines)), self.cells.columns.nlevels
        for place in reversed(self._firsts):
            lines.insert(depth + place, rule)
        return "\n".join(line.rstrip() for line in lines)

    @property
    def _nameless(self):
        """Whether the rows have only numbers for names."""
        return isinstance(self.cells.index, pd.RangeIndex)

    @property
    def _firsts(self):
        """The places of each group's first row."""
        if self.cells.index.nlevels == 1:
            return [0]
        group = self.cells.index.get_level_values(0)
        return [i for i in range(len(group)) if i == 0 or group[i] != group[i - 1]]


def show_table(frame, best=None, decimals=1, groups=None, published=None, aside=()):
    """Display a DataFrame as `lay_out` makes it; ValueError if it has more than 25 lines, which nobody reads."""
    from IPython.display import display
    table = lay_out(frame, best, decimals, groups, published, aside)
    if (count := len(repr(table).splitlines())) > LINES:
        raise ValueError(f"This table has {count} lines, and a cell shows at most {LINES}. Choose its rows, or draw a figure.")
    display(table)


def lay_out(frame, best=None, decimals=1, groups=None, published=None, aside=()):
    """A DataFrame, whose index names the rows, as a `Table`; missing values are an en dash.

    `best`: "max", "min" or None, or column -> one of these; every group has its own, and equal ones are all bold.
    `decimals`: of floats, a number or column -> number (1 where nothing is said). `groups`: the column that names each row's
    group. `published`: a Series named as a column, or a DataFrame; its values stand beside the measured ones. `aside`: names
    of rows that do not compete, as the base and the experts. Raises ValueError for rows of the same name.

    >>> lay_out(pd.DataFrame({"accuracy": [51.26, 51.34, 50, None]}, index=["TIES", "TSV-M", "average", "DARE"]), best="max")
            accuracy
    ────────────────
    TIES       51.3*
    TSV-M      51.3*
    average    50.0
    DARE          –
    """
    group = pd.Series("", frame.index) if groups is None else frame[groups].astype(str)
    order = group.sort_values(key=lambda names: names.map(list(names.unique()).index), kind="stable").index
    if not order.is_unique:
        raise ValueError(f"Two rows are called {order[order.duplicated()][0]}. Give each a name of its own.")
    frame, group = frame.drop(columns=[] if groups is None else groups).loc[order], group[order]
    cells = frame.apply(lambda column: column.map(lambda value: _said(value, _of(decimals, column.name, 1))))
    bold = frame.apply(lambda column: _best(column, cells[column.name], group, _of(best, column.name, None), aside))
    numbers = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    if published is not None:
        cells, bold, numbers = _beside(cells, bold, numbers, pd.DataFrame(published), decimals)
    if groups is not None:
        cells.index = bold.index = pd.MultiIndex.from_arrays([group, order])
    return Table(cells.rename_axis(index=[None] * cells.index.nlevels, columns=[None] * cells.columns.nlevels), bold, numbers)


def _of(option, column, default):
    """What an option says about a column."""
    return option.get(column, default) if isinstance(option, dict) else option


def _said(value, decimals):
    """One value as it is written."""
    if pd.isna(value):
        return MISSING
    return f"{value:z.{decimals}f}" if isinstance(value, float | np.floating) else str(value)


def _best(column, cells, group, which, aside):
    """Where a column is written as the best of its group is, among those that compete; nowhere if there are not two of them."""
    if which not in ("max", "min", None):
        raise ValueError(f"best is {which!r} for {column.name}; it can be 'max', 'min' or None.")
    rivals = column.drop(list(aside)).dropna()
    if which is None or not pd.api.types.is_numeric_dtype(rivals):
        return pd.Series(False, column.index)
    by_group = rivals.groupby(group[rivals.index])
    top = cells[by_group.transform("idxmax" if which == "max" else "idxmin")].set_axis(rivals.index)
    found = (cells[rivals.index] == top) & (by_group.transform("size") > 1)
    return found.reindex(column.index, fill_value=False)


def _beside(cells, bold, numbers, published, decimals):
    """The columns in pairs, measured and published, where there is something published; all as `Table` has them."""
    if unknown := sorted(set(published) - set(cells)):
        raise ValueError(f"Nothing was measured that is called {', '.join(map(str, unknown))}.")
    written, marked, right = {}, {}, []
    for name, number in zip(cells, numbers):
        own = (name, "measured" if name in published else "")
        written[own], marked[own] = cells[name], bold[name]
        right.append(number)
        if name in published:
            other = (name, "published")
            theirs = published[name].reindex(cells.index)
            written[other] = theirs.map(lambda value, name=name: _said(value, _of(decimals, name, 1)))
            marked[other] = pd.Series(False, cells.index)
            right.append(True)
    return pd.DataFrame(written), pd.DataFrame(marked), right
