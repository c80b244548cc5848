// Draws the parallel coordinates and the scatter of the comparison page from the numbers that the page carries.
import { COLOURS, figure, legendAbove, legendSize, library, onTheme } from "./bokeh.js";

const section = document.querySelector("[data-compare]");
const said = section?.dataset ?? {};
const WORDS = { null: said.none, true: said.on, false: said.off };

if (section) {
  const data = JSON.parse(document.getElementById("compare-data").textContent);
  const form = section.querySelector("form");
  section.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  const draw = () => library(section.dataset.bokeh).then((Bokeh) => {
    parallel(Bokeh, data, section.querySelector("[data-parallel]"));
    scatter(Bokeh, data, form.elements.across.value, form.elements.up.value, section.querySelector("[data-scatter]"));
  });
  form.addEventListener("change", draw);
  onTheme(draw);
  draw();
}

// What a reader calls a dimension: as the page's select has it.
function title(name) {
  return [...section.querySelector("select").options].find((option) => option.value === name).textContent;
}

// The names of these points; two of one name are told apart by their numbers.
function labels(points) {
  const alike = (name) => points.filter((point) => point.name === name).length > 1;
  return points.map(({ id, name }) => (alike(name) ? `${name} ${id}` : name));
}

// A dimension as numbers: words stand at 0, 1, 2, ... in the order of their first appearance.
function dimension(data, name) {
  const raw = data.points.map((point) => point.values[name]);
  const known = raw.filter((value) => value !== null);
  if (known.every((value) => typeof value === "number")) {
    return { values: raw.map((value) => value ?? NaN), words: null };
  }
  const words = [...new Set(raw.map((value) => WORDS[value] ?? String(value)))];
  return { values: raw.map((value) => words.indexOf(WORDS[value] ?? String(value))), words };
}

function parallel(Bokeh, data, place) {
  const scores = ["valid", "online"].filter((name) => data.points.some((point) => point.values[name] !== null));
  const names = [...data.dimensions.slice(5), ...scores];
  if (names.length < 2) {
    place.hidden = true;
    return;
  }
  const columns = names.map((name) => dimension(data, name));
  const span = columns.map(({ values }) => {
    const known = values.filter((value) => !Number.isNaN(value));
    return [Math.min(...known), Math.max(...known)];
  });
  const height = (column, point) => {
    const [low, high] = span[column];
    return high === low ? 0.5 : (columns[column].values[point] - low) / (high - low);
  };
  const told = labels(data.points);
  const legend = legendSize(told, place.clientWidth - 60);
  const fig = figure(Bokeh, { height: 320 + legend.height, tools: "save", y_range: [-0.15, 1.15], x_range: [-0.5, names.length - 0.5] });
  fig.add_tools(new Bokeh.HoverTool({ tooltips: [[said.experiment, "@name"]] }));
  const places = names.map((_, index) => index);
  const source = new Bokeh.ColumnDataSource({ data: {
    name: told,
    colour: data.points.map((_, index) => COLOURS[index % COLOURS.length]),
    xs: data.points.map(() => places),
    ys: data.points.map((_, point) => names.map((_, column) => height(column, point))),
  } });
  fig.multi_line({ field: "xs" }, { field: "ys" }, { source, line_color: { field: "colour" }, line_width: 2, line_alpha: 0.8, hover_line_width: 4, legend_field: "name" });
  legendAbove(Bokeh, fig, legend.columns);
  const [xaxis] = fig.xaxis;
  xaxis.ticker = new Bokeh.FixedTicker({ ticks: places });
  xaxis.major_label_overrides = new Map(names.map((name, index) => [index, title(name).split(".").at(-1)]));
  xaxis.major_label_orientation = names.length > 6 ? 0.6 : 0;
  for (const part of [...fig.yaxis, ...fig.ygrid]) part.visible = false;
  const text = xaxis.major_label_text_color;
  columns.forEach(({ words }, column) => {
    const [low, high] = span[column];
    const say = (value) => words ? words[value] : Number(value.toPrecision(5)).toString();
    const ends = high === low ? [[0.5, low]] : [[0, low], [1, high]];
    const label = (at) => (at === 1 ? "bottom" : "top");
    if (names.length > 14) return; // they would lie over each other
    for (const [at, value] of ends) {
      fig.text({ value: column }, { value: at }, { value: say(value) }, { text_color: text, text_font_size: "11px", text_align: "center", text_baseline: label(at), y_offset: at === 1 ? -4 : 4 });
    }
  });
  place.replaceChildren();
  Bokeh.Plotting.show(fig, place);
}

function scatter(Bokeh, data, across, up, place) {
  const [x, y] = [dimension(data, across), dimension(data, up)];
  const kept = data.points.map((_, index) => index).filter((index) => !Number.isNaN(x.values[index]) && !Number.isNaN(y.values[index]));
  if (kept.length === 0) {
    const line = document.createElement("p");
    line.className = "muted";
    line.textContent = said.neither.replace("{across}", title(across)).replace("{up}", title(up));
    place.replaceChildren(line);
    return;
  }
  const told = labels(data.points);
  const legend = legendSize(told, place.clientWidth - 60);
  const fig = figure(Bokeh, { height: 320 + legend.height, tools: "pan,box_zoom,xwheel_zoom,reset,save", x_axis_label: title(across), y_axis_label: title(up) });
  fig.add_tools(new Bokeh.HoverTool({ tooltips: [[said.experiment, "@name"], [title(across), "@x{0.[00000]}"], [title(up), "@y{0.[00000]}"]] }));
  const source = new Bokeh.ColumnDataSource({ data: {
    x: kept.map((index) => x.values[index]),
    y: kept.map((index) => y.values[index]),
    name: kept.map((index) => told[index]),
    colour: kept.map((index) => COLOURS[index % COLOURS.length]),
  } });
  fig.scatter({ field: "x" }, { field: "y" }, { source, size: 10, fill_color: { field: "colour" }, line_color: { field: "colour" }, legend_field: "name" });
  legendAbove(Bokeh, fig, legend.columns);
  for (const [axis, { words }] of [[[...fig.xaxis][0], x], [[...fig.yaxis][0], y]]) {
    if (!words) continue;
    axis.ticker = new Bokeh.FixedTicker({ ticks: words.map((_, index) => index) });
    axis.major_label_overrides = new Map(words.map((word, index) => [index, word]));
  }
  place.replaceChildren();
  Bokeh.Plotting.show(fig, place);
}
