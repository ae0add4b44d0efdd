"""A table and a plot of runs that belong together, to be sorted, filtered and clicked in a page without a server."""

import pandas as pd
from bokeh.embed import components
from bokeh.models import (
    BooleanFilter,
    CDSView,
    ColumnDataSource,
    CustomJS,
    DataTable,
    HoverTool,
    NumberFormatter,
    Select,
    StringFormatter,
    TableColumn,
    TextInput,
)
from bokeh.plotting import figure
from bokeh.resources import Resources
from markupsafe import Markup
from matplotlib.colors import to_hex

from jointlib.runs.figures import COLOURS, MARKERS
from jointlib.runs.folder import title
from jointlib.runs.measures import MEASURES
from jointlib.strategies import STRATEGIES

# Within the page, and no more of them than it needs: with the others it would be twice as large.
_SCRIPTS = Resources("inline", components=["bokeh", "bokeh-widgets", "bokeh-tables"])
_INK = "#7d8790"  # legible on light and on dark paper
# What bokeh calls matplotlib's markers, or has next to them.
_MARKERS = {"s": "square", "D": "diamond", "v": "inverted_triangle", "P": "cross", "p": "hex", "o": "circle"}
_MARKERS |= {"*": "star", "^": "triangle", "X": "x", "<": "square_pin", ">": "triangle_pin", "h": "hex", "d": "diamond"}
_QUALITIES = {name: MEASURES[name].head for name in ("pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced")}
_COLUMNS = {"correct": "accuracy", "correct_on_clean": "on clean", **_QUALITIES}
_COLUMNS |= {"core_minutes": "core-min", "parameters": "parameters"}
_FORMS = {"pesq_wb_enhanced": "0.00", "si_sdr_enhanced": "0.0", "core_minutes": "0.0", "parameters": "0,0"}
_LOOK = """
:host { --ink: #1c2126; --paper: #fff; --shade: #f4f6f8; --line: #d9dee3; --chosen: #d6e8f8; color: var(--ink);
  color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  :host { --ink: #e4e8ec; --paper: #14181c; --shade: #1d2329; --line: #333b43; --chosen: #27496a }
}
.slick-header-columns, .slick-header-column, .slick-row, .slick-cell, .slick-viewport, .bk-input {
  color: var(--ink) !important; background-color: var(--paper); border-color: var(--line) !important;
  font: 14px system-ui
}
select.bk-input { appearance: auto !important; background-image: none !important }
.slick-row.odd, .slick-row.odd .slick-cell { background-color: var(--shade) }
.slick-cell.selected { background-color: var(--chosen) !important }
"""


def table_and_plot(runs: pd.DataFrame) -> dict[str, Markup]:
    """Parts of a page: scripts, filter, quality, plot, table. `runs` are of `folder.list_runs`.

    A click on a point or a row calls the page's own ``showRun`` with the run's place in `runs`; the filter keeps the
    runs whose names contain all its words. Runs without a front-end, without a classifier, or tested on clean speech
    are in the table only; no plot where there are no others.
    """
    names = [f"{title(run.strategy, run.alpha)}, seed {run.seed}" for run in runs.itertuples()]
    titles = [STRATEGIES[strategy].title for strategy in runs.strategy]
    numbers = runs.assign(core_minutes=runs.core_seconds / 60).reindex(columns=list(_COLUMNS)).astype(float)
    colours, markers = [to_hex(COLOURS[name]) for name in titles], [_MARKERS[MARKERS[name]] for name in titles]
    numbers.loc[[STRATEGIES[strategy].test_input == "clean" for strategy in runs.strategy], "correct"] = float("nan")
    shown = numbers.assign(run=names, x=numbers.pesq_wb_enhanced, colour=colours, marker=markers)
    source = ColumnDataSource(shown.to_dict("list"))
    source.selected.js_on_change(
        "indices", CustomJS(args={"source": source}, code="source.selected.indices.slice(0, 1).forEach(showRun)")
    )
    view = CDSView(filter=BooleanFilter([True] * len(runs)))
    plot, table = _plot(source, view), _table(source, view)
    words = TextInput(title="Show runs whose names contain", placeholder="all words, in any order", stylesheets=[_LOOK])
    code = """const words = words_.value_input.toLowerCase().split(/\\s+/);
        filter.booleans = source.data.run.map((name) => words.every((word) => name.toLowerCase().includes(word)));"""
    words.js_on_change(
        "value_input", CustomJS(args={"words_": words, "filter": view.filter, "source": source}, code=code)
    )
    quality = Select(title="Plotted against accuracy", options=list(_QUALITIES.items()), stylesheets=[_LOOK])
    quality.value = "pesq_wb_enhanced"
    code = """source.data = {...source.data, x: source.data[this.value]};
        axis.axis_label = Object.fromEntries(this.options)[this.value];"""
    quality.js_on_change("value", CustomJS(args={"source": source, "axis": plot.xaxis[0]}, code=code))
    models = {"filter": words, "table": table}
    if shown[["x", "correct"]].notna().all(axis=1).any():
        models |= {"quality": quality, "plot": plot}
    script, parts = components(models)
    return {"scripts": Markup(_SCRIPTS.render_js() + script)} | {name: Markup(part) for name, part in parts.items()}


def _plot(source: ColumnDataSource, view: CDSView) -> figure:
    plot = figure(
        height=340, max_width=900, sizing_mode="stretch_width", tools="tap,box_zoom,reset", toolbar_location="above"
    )
    look = {"size": 13, "marker": "marker", "color": "colour", "fill_alpha": 0.7, "line_width": 1.5}
    look |= {"nonselection_fill_alpha": 0.35, "nonselection_line_alpha": 0.7}  # bokeh's own 0.1 hides them
    plot.scatter("x", "correct", source=source, view=view, **look)
    plot.scatter("x", "correct", source=source, visible=False)  # all of them: what is filtered moves no axis
    plot.x_range.range_padding = plot.y_range.range_padding = 0.2  # no marker is cut
    tips = [("", "@run"), ("accuracy", "@correct{0.000}"), ("PESQ", "@pesq_wb_enhanced{0.00}")]
    plot.add_tools(HoverTool(tooltips=tips))
    plot.toolbar.logo = None
    plot.background_fill_color = plot.border_fill_color = None
    plot.outline_line_color = plot.grid.grid_line_color = _INK
    plot.grid.grid_line_alpha = plot.outline_line_alpha = 0.3
    for axis, label in ((plot.xaxis, _QUALITIES["pesq_wb_enhanced"]), (plot.yaxis, "accuracy on noisy speech")):
        axis.axis_label, axis.axis_label_text_font_style = label, "normal"
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = _INK
        axis.major_tick_line_color = axis.minor_tick_line_color = _INK
    return plot


def _table(source: ColumnDataSource, view: CDSView) -> DataTable:
    longest = max(map(len, source.data["run"]))
    columns = [TableColumn(field="run", title="run", width=7 * longest + 12, formatter=StringFormatter())]
    for name, label in _COLUMNS.items():
        form = NumberFormatter(format=_FORMS.get(name, "0.000"), nan_format="–", text_align="right")
        columns.append(TableColumn(field=name, title=label, width=max(64, 9 * len(label) + 2), formatter=form))
    height = min(26 * (len(source.data["run"]) + 1) + 10, 340)
    about = {
        "index_position": None,
        "reorderable": False,
        "autosize_mode": "none",
        "height": height,
        "sizing_mode": "stretch_width",
        "max_width": sum(column.width for column in columns) + 16,  # no line is drawn beside the table
        "stylesheets": [_LOOK],
    }
    return DataTable(source=source, view=view, columns=columns, **about)
