// A curve as one line for each run between its lowest and highest value: what is seen until Bokeh has come, which on the
// first visit takes longer than the curve itself.
const MARGIN = { top: 36, right: 12, bottom: 24, left: 56 }; // about Bokeh's, so that lines hardly move when it takes over

function element(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// An SVG of that size. `lines`: {x, y, color}, each with a point or more; `short`: a number as text.
export function sketch(lines, width, height, short) {
  const span = (name) => {
    const values = lines.flatMap((line) => line[name]).filter(Number.isFinite);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return { low, high, size: high - low || 1 };
  };
  const [x, y] = [span("x"), span("y")];
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const across = (value) => (MARGIN.left + ((value - x.low) / x.size) * inner.width).toFixed(1);
  const up = (value) => (MARGIN.top + (1 - (value - y.low) / y.size) * inner.height).toFixed(1);
  const svg = element("svg", { class: "sketch", width, height, "aria-hidden": "true" });
  for (const line of lines) {
    const points = line.x.map((value, place) => `${across(value)},${up(line.y[place])}`).join(" ");
    svg.append(element("polyline", { points, fill: "none", stroke: line.color, "stroke-width": 2 }));
  }
  const bottom = height - 6;
  svg.append(
    element("text", { x: MARGIN.left - 6, y: MARGIN.top + 4, "text-anchor": "end" }, y.high > y.low ? short(y.high) : ""),
    element("text", { x: MARGIN.left - 6, y: height - MARGIN.bottom, "text-anchor": "end" }, short(y.low)),
    element("text", { x: MARGIN.left, y: bottom }, short(x.low)),
    element("text", { x: width - MARGIN.right, y: bottom, "text-anchor": "end" }, short(x.high)),
  );
  return svg;
}
