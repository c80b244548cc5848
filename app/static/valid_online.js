// Draws valid against online with a line and its band for each group, from the numbers that the page carries.
import { COLOURS, figure, legendAbove, library, onTheme } from "./bokeh.js";

const MARKERS = ["circle", "square", "triangle", "diamond", "inverted_triangle", "star"]; // for readers who see few colours
const section = document.querySelector("[data-valid-online]");
const said = section.dataset;
const data = JSON.parse(document.getElementById("valid-online-data").textContent);
const form = section.querySelector("form");
const draw = () => library(said.bokeh).then((Bokeh) => scatter(Bokeh, section.querySelector("[data-plot]"), Number(form?.elements.window.value)));
if (form) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", draw);
}
onTheme(draw);
draw();

function colour(group) {
  return COLOURS[(group - 1) % COLOURS.length];
}

// A wide band must not press the points together: the window is that of the points, and a reader can zoom out.
function span(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low) * 0.12 || 0.01;
  return [low - margin, high + margin];
}

// `only`: the group that the window is of, or 0.
function scatter(Bokeh, place, only) {
  const mine = ({ group }) => !only || group === only;
  const shown = data.groups.filter(mine).flatMap(({ points }) => points);
  const waiting = data.unsent.filter(mine);
  const [across, up] = [[...shown, ...waiting].map((row) => row.valid), [...shown.map((row) => row.online), ...waiting.map((row) => row.value)]];
  const fig = figure(Bokeh, { height: 420, tools: "pan,box_zoom,xwheel_zoom,reset,save", x_axis_label: said.valid, y_axis_label: said.online, x_range: span(across), y_range: span(up) });
  const points = [];
  for (const { group, points: rows, line } of data.groups) {
    const look = { fill_color: colour(group), line_color: colour(group), marker: MARKERS[(group - 1) % MARKERS.length] };
    const legend = { legend_label: `${said.group} ${group}` };
    if (line) {
      const band = new Bokeh.ColumnDataSource({ data: line });
      fig.varea({ x: { field: "x" }, y1: { field: "low" }, y2: { field: "high" }, source: band, fill_color: colour(group), fill_alpha: 0.12 });
      fig.line({ field: "x" }, { field: "y" }, { source: band, line_color: colour(group), line_width: 2 });
    }
    const source = new Bokeh.ColumnDataSource({ data: {
      x: rows.map((row) => row.valid),
      y: rows.map((row) => row.online),
      name: rows.map((row) => row.name),
      what: rows.map(() => legend.legend_label),
    } });
    points.push(fig.scatter({ field: "x" }, { field: "y" }, { source, size: 10, ...look, ...legend }));
  }
  points.push(...unsent(Bokeh, fig));
  names(Bokeh, fig, shown, place.clientWidth - 60, span(across), span(up)); // less the axis
  fig.add_tools(new Bokeh.HoverTool({ renderers: points, tooltips: [[said.experiment, "@name"], [said.valid, "@x{0.[00000]}"], [said.online, "@y{0.[00000]}"], ["", "@what"]] }));
  legendAbove(Bokeh, fig); // inside it would lie over points
  place.replaceChildren();
  Bokeh.Plotting.show(fig, place);
}

// The name of each point beside it where there is room: behind, before, above or below; the others are told when
// pointed at.
function names(Bokeh, fig, rows, width, [left, right], [low, high]) {
  const placed = rows.map((row) => {
    const [x, y] = [((row.valid - left) / (right - left)) * width, ((row.online - low) / (high - low)) * 360];
    return [x - 6, x + 6, y - 6, y + 6];
  });
  const free = (box) => placed.every(([from, to, bottom, top]) => from >= box[1] || to <= box[0] || bottom >= box[3] || top <= box[2]);
  const kept = { x: [], y: [], name: [], align: [], across: [], down: [] };
  for (const row of rows) {
    const name = row.name.length > 18 ? `${row.name.slice(0, 17)}…` : row.name;
    const [x, y] = [((row.valid - left) / (right - left)) * width, ((row.online - low) / (high - low)) * 360];
    const long = [...name].reduce((sum, char) => sum + (char.charCodeAt(0) > 255 ? 12 : 7), 4);
    const ways = [["left", 9, 0], ["right", -9, 0], ["center", 0, -13], ["center", 0, 13]];
    for (const [align, across, down] of ways) {
      const from = x + across - { left: 0, right: long, center: long / 2 }[align];
      const box = [from, from + long, y - down - 6, y - down + 6];
      if (from < 0 || from + long > width || !free(box)) continue;
      placed.push(box);
      for (const [key, value] of Object.entries({ x: row.valid, y: row.online, name, align, across, down })) kept[key].push(value);
      break;
    }
  }
  const source = new Bokeh.ColumnDataSource({ data: kept });
  const text = [...fig.xaxis][0].major_label_text_color;
  fig.text({ field: "x" }, { field: "y" }, { field: "name" }, { source, text_color: text, text_font_size: "11px", text_baseline: "middle", text_align: { field: "align" }, x_offset: { field: "across" }, y_offset: { field: "down" } });
}

// Hollow, at what is expected of them, with the interval.
function unsent(Bokeh, fig) {
  if (data.unsent.length === 0) return [];
  const rows = data.unsent;
  const source = new Bokeh.ColumnDataSource({ data: {
    x: rows.map((row) => row.valid),
    y: rows.map((row) => row.value),
    low: rows.map((row) => row.low),
    high: rows.map((row) => row.high),
    name: rows.map((row) => row.name),
    what: rows.map(() => said.unsent),
    colour: rows.map((row) => colour(row.group)),
  } });
  fig.segment({ field: "x" }, { field: "low" }, { field: "x" }, { field: "high" }, { source, line_color: { field: "colour" }, line_dash: "dotted" });
  return [fig.scatter({ field: "x" }, { field: "y" }, { source, size: 10, fill_color: null, line_width: 2, line_color: { field: "colour" }, legend_label: said.unsent })];
}
