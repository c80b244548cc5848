// Loads Bokeh once, and says what the page's colours are, as Bokeh wants them.
let loading = null;

export function library(sources) {
  loading ??= Promise.all(sources.split(" ").map(loaded));
  return loading.then(() => window.Bokeh);
}

function loaded(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.async = false; // fetched side by side, but run in the order asked for
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${source} did not load`));
    document.head.append(script);
  });
}

export const COLOURS = ["#3b82f6", "#e4781b", "#2ca25f", "#c2459b", "#8c6bd8", "#b8860b", "#13a3b5", "#d6453d"];

// An empty figure in the page's colours.
export function figure(Bokeh, options) {
  const colours = pageColours();
  const fig = Bokeh.Plotting.figure({
    sizing_mode: "stretch_width",
    background_fill_color: null,
    border_fill_color: null,
    outline_line_color: colours.line,
    toolbar_location: "above",
    active_scroll: null,
    ...options,
  });
  fig.toolbar.logo = null;
  for (const axis of [...fig.xaxis, ...fig.yaxis]) {
    axis.major_label_text_color = axis.axis_label_text_color = colours.text;
    axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = colours.line;
  }
  for (const grid of [...fig.xgrid, ...fig.ygrid]) grid.grid_line_color = colours.line;
  if (fig.legend) {
    fig.legend.background_fill_color = colours.card;
    fig.legend.background_fill_alpha = 0.8;
    fig.legend.border_line_color = colours.line;
    fig.legend.label_text_color = colours.text;
  }
  return fig;
}

const LEGEND_ROW = 24; // pixels, as Bokeh sets them
const LEGEND_LINE = 50; // of a name: its sample of the line, and what is around

// How names stand over a plot of so many pixels: columns, and the height that their rows take.
export function legendSize(names, width) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "13px sans-serif";
  const widest = Math.max(...names.map((name) => pen.measureText(name).width)) + LEGEND_LINE;
  const columns = Math.max(1, Math.min(names.length, Math.floor(width / widest)));
  return { columns, height: LEGEND_ROW * Math.ceil(names.length / columns) + 34 };
}

// The legend of a figure whose glyphs are all there, over the plot: inside it would cover points.
export function legendAbove(Bokeh, fig, columns = "auto") {
  const legends = fig.center.filter((item) => item instanceof Bokeh.Legend);
  fig.center = fig.center.filter((item) => !legends.includes(item));
  for (const legend of legends) {
    legend.orientation = "horizontal";
    legend.ncols = columns;
    fig.add_layout(legend, "above");
  }
}

// When the reader or the system changes between dark and light.
export function onTheme(draw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("themechange", draw);
}

// Bokeh takes no light-dark(): what the browser made of it.
function pageColours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const of = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = { text: of("--text"), line: of("--line"), card: of("--card") };
  probe.remove();
  return found;
}
