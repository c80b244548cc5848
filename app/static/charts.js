// Draws the figures of runs/_charts.html with Bokeh, which comes from its Python package: a window of each curve at a
// time, fetched anew when the reader zooms, and only new points while a run works. The numbers are there without it.
import { COLOURS, figure, legendAbove, legendSize, library, onTheme } from "./bokeh.js";
import { sketch } from "./sketch.js";
import { onStream, streaming } from "./stream.js";

const POINTS = 800;
const HEIGHT = 230; // as .plot has it
const PAUSE_MS = 2000;
const DASHES = ["solid", "dashed", "dotted", "dotdash"]; // more runs than colours, and readers who see few

const section = document.querySelector("[data-charts]");
const controls = section?.querySelector("[data-chart-controls]");
const drawn = [];
let cursor = "";
let turns = Promise.resolve(); // of drawing

if (section) begin();

function begin() {
  controls.hidden = false;
  library(section.dataset.bokeh).catch(() => {}); // sent for at once; a chart that then can't be drawn says why
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", () => drawn.forEach((chart) => chart.draw()));
  onTheme(() => drawn.forEach((chart) => chart.draw()));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      const chart = new Chart(entry.target);
      drawn.push(chart);
      chart.draw();
    }
  }, { rootMargin: "300px" });
  section.querySelectorAll("figure").forEach((figure) => seen.observe(figure));
}

function asked() {
  return { x: controls.elements.x.value, smoothing: Number(controls.elements.smoothing.value), log: controls.elements.log.checked };
}

// One chart a frame: the first is seen while the others are still being drawn.
function inTurn() {
  turns = turns.then(() => new Promise((done) => {
    if (document.hidden) done(); // no frames come
    else requestAnimationFrame(() => setTimeout(done));
  }));
  return turns;
}

async function json(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error.message);
  return body;
}

// What several charts ask at once of the same runs is one question; the answer, with the curves of `series` alone.
const questions = new Map();
async function curves(query, series) {
  const key = query.toString();
  if (!questions.has(key)) {
    const names = new Set();
    const answer = Promise.resolve().then(() => {
      questions.delete(key);
      names.forEach((name) => query.append("series", name));
      return json(`${document.documentElement.dataset.root}/api/v1/curves?${query}`);
    });
    questions.set(key, { names, answer });
  }
  const question = questions.get(key);
  question.names.add(series);
  const answer = await question.answer;
  return { ...answer, curves: answer.curves.filter((curve) => curve.series === series) };
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    figure.chart = this;
    this.plot = figure.querySelector(".plot");
    this.runs = figure.dataset.runs.split(" ").map(Number);
    this.labels = JSON.parse(figure.dataset.labels);
    this.window = null; // of the x axis; null: all
    this.legend = this.runs.length > 1 ? legendSize(this.labels, this.plot.clientWidth - 60) : null;
    if (this.legend) this.plot.style.minHeight = `${HEIGHT + this.legend.height}px`; // nothing jumps when it comes
    this.turn = 0; // answers of an older question are dropped
  }

  ask() {
    const query = new URLSearchParams({ x: asked().x, points: POINTS });
    this.runs.forEach((run) => query.append("run", run));
    if (this.window) {
      query.set("from", this.window[0]);
      query.set("to", this.window[1]);
    }
    return curves(query, this.figure.dataset.series);
  }

  async draw() {
    const turn = ++this.turn;
    this.window = null;
    try {
      const coming = library(section.dataset.bokeh);
      const answer = await this.ask();
      if (turn !== this.turn) return;
      this.curves = new Map(answer.curves.map((curve) => [curve.run, curve]));
      if (!this.fig) this.sketch();
      await coming;
      await inTurn();
      if (turn !== this.turn) return;
      this.show();
      if (answer.active) follow(answer.cursor);
    } catch (error) {
      this.say(`${section.dataset.failed} ${error.message}`);
    }
  }

  say(text) {
    const line = document.createElement("p");
    line.className = "muted";
    line.textContent = text;
    this.plot.replaceChildren(line);
    this.sources = null;
  }

  // Until Bokeh has come and drawn it.
  sketch() {
    const known = this.runs.filter((run) => this.curves.has(run));
    if (known.length === 0 || asked().log) return;
    const lines = known.map((run) => ({ ...this.curves.get(run), color: COLOURS[this.runs.indexOf(run) % COLOURS.length] }));
    this.plot.replaceChildren(sketch(lines, this.plot.clientWidth, HEIGHT + (this.legend?.height ?? 0), short));
    this.plot.setAttribute("aria-label", this.spoken());
  }

  show() {
    if (this.curves.size === 0) {
      this.say(section.dataset.nothing);
      return;
    }
    const { log, smoothing } = asked();
    const { Plotting, ColumnDataSource, HoverTool } = window.Bokeh;
    const fig = figure(window.Bokeh, { height: HEIGHT + (this.legend?.height ?? 0), tools: "pan,xbox_zoom,xwheel_zoom,reset,save", y_axis_type: log ? "log" : "linear" });
    this.sources = new Map();
    this.smooth = new Map();
    this.runs.forEach((run, index) => {
      const curve = this.curves.get(run);
      if (!curve) return;
      const look = { color: COLOURS[index % COLOURS.length], line_dash: DASHES[Math.floor(index / COLOURS.length) % DASHES.length], line_width: 2 };
      const source = new ColumnDataSource({ data: columns(curve) });
      this.sources.set(run, source);
      const legend = this.runs.length > 1 ? { legend_label: this.labels[index] } : {};
      fig.line({ field: "x" }, { field: "y" }, { source, ...look, ...(smoothing ? { line_alpha: 0.3 } : legend) });
      if (curve.x.length === 1) fig.scatter({ field: "x" }, { field: "y" }, { source, color: look.color, size: 6 });
      if (smoothing) {
        const averaged = new ColumnDataSource({ data: columns(smoothed(curve, smoothing)) });
        this.smooth.set(run, averaged);
        fig.line({ field: "x" }, { field: "y" }, { source: averaged, ...look, ...legend });
      }
    });
    if (this.legend) {
      fig.legend.click_policy = "hide"; // a click on a name hides its line
      legendAbove(window.Bokeh, fig, this.legend.columns);
    }
    fig.add_tools(new HoverTool({ mode: "vline", tooltips: [[controls.elements.x.selectedOptions[0].textContent, "@x{0,0.[000]}"], [this.figure.dataset.title, "@y{0.[000000]}"]] }));
    this.fig = fig;
    this.plot.replaceChildren();
    this.plot.setAttribute("aria-label", this.spoken());
    Plotting.show(fig, this.plot);
    this.watch(fig.x_range);
  }

  // What a screen reader says of it.
  spoken() {
    const each = [...this.curves.values()].map((curve) => {
      const label = this.runs.length > 1 ? `${this.labels[this.runs.indexOf(curve.run)]}: ` : "";
      const values = { first: short(curve.y[0]), last: short(curve.y.at(-1)), count: curve.total };
      return label + section.dataset.spoken.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    });
    return `${this.figure.dataset.title}, ${each.join("; ")}`;
  }

  watch(range) {
    let timer = 0;
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.zoomed(range.start, range.end), 150);
    };
    let all = null;
    setTimeout(() => {
      all = [range.start, range.end];
      this.all = all;
      range.connect(range.properties.start.change, moved);
      range.connect(range.properties.end.change, moved);
    }, 300);
  }

  // The window's own points, finer than those of the whole.
  async zoomed(start, end) {
    if (!this.sources) return;
    const whole = start <= this.all[0] && end >= this.all[1];
    if (whole && !this.window) return;
    const turn = ++this.turn;
    this.window = whole ? null : [start, end];
    const answer = await this.ask().catch((error) => this.say(error.message));
    if (!answer || turn !== this.turn) return;
    this.curves = new Map(answer.curves.map((curve) => [curve.run, curve]));
    this.put();
  }

  put() {
    const { smoothing } = asked();
    for (const [run, source] of this.sources ?? []) {
      const curve = this.curves.get(run) ?? { x: [], y: [] };
      source.data = columns(curve);
      if (this.smooth.has(run)) this.smooth.get(run).data = columns(smoothed(curve, smoothing));
    }
  }

  // Points that came since: a run that was taken up anew tells again what it had told before.
  add(curves) {
    const mine = curves.filter((curve) => curve.series === this.figure.dataset.series && this.runs.includes(curve.run));
    if (mine.length === 0 || this.window) return;
    if (!this.sources || mine.some((curve) => !this.sources.has(curve.run))) {
      this.draw();
      return;
    }
    for (const curve of mine) {
      const known = this.curves.get(curve.run);
      const kept = known.x.findIndex((x) => x >= curve.x[0]);
      const end = kept < 0 ? known.x.length : kept;
      known.x = [...known.x.slice(0, end), ...curve.x];
      known.y = [...known.y.slice(0, end), ...curve.y];
    }
    if ([...this.curves.values()].some((curve) => curve.x.length > 4 * POINTS)) this.draw();
    else this.put();
  }
}

function columns(curve) {
  return { x: curve.x, y: curve.y };
}

// Exponential moving average of the shown points, without the bias of its begin (as Adam's).
function smoothed(curve, weight) {
  let mean = 0;
  let share = 1;
  const y = curve.y.map((value) => {
    mean = weight * mean + (1 - weight) * value;
    share *= weight;
    return mean / (1 - share);
  });
  return { x: curve.x, y };
}

function short(value) {
  return Number(value.toPrecision(4)).toString();
}

// One question for all charts of the page, and only while one of their runs may still tell something.
function follow(first) {
  if (cursor) return;
  cursor = first;
  const series = new Set([...section.querySelectorAll("figure")].map((figure) => figure.dataset.series));
  const runs = new Set([...section.querySelectorAll("figure")].flatMap((figure) => figure.dataset.runs.split(" ")));
  const known = new Set(first.split(",").map((part) => part.split(":")[0]));
  cursor = [first, ...[...runs].filter((run) => !known.has(run)).map((run) => `${run}:0:0`)].join(",");
  setTimeout(look, PAUSE_MS);
  onStream("news", (news, seen) => {
    if (asked().x !== "step") return;
    const parts = new Map(cursor.split(",").map((part) => [part.split(":")[0], part]));
    for (const part of seen.split(",")) {
      const run = part.split(":");
      if (parts.has(run[0])) parts.set(run[0], run.slice(0, 3).join(":"));
    }
    cursor = [...parts.values()].join(",");
    drawn.forEach((chart) => chart.add(news.curves));
  });

  async function look() {
    let active = true;
    if (!document.hidden && !(streaming() && asked().x === "step")) {
      try {
        const query = new URLSearchParams({ after: cursor, x: asked().x });
        series.forEach((name) => query.append("series", name));
        const answer = await json(`${document.documentElement.dataset.root}/api/v1/curves/new?${query}`);
        cursor = answer.cursor;
        active = answer.active;
        drawn.forEach((chart) => chart.add(answer.curves));
      } catch {
        // the server is away: live.js shows it; the next question asks for what is missing
      }
    }
    if (active) setTimeout(look, PAUSE_MS);
  }
}
