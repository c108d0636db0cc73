// The page's own script: libraries are unpacked from the page, charts drawn as they come into view, tables made to
// sort, and what is in them copied.

const unpacked = {};

/** What the page has, compressed, in an element of this id. */
function content(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

/** The address of a library that the page has; it is unpacked once. */
function library(id, type = "text/javascript") {
  unpacked[id] ??= content(id).arrayBuffer().then((buffer) => URL.createObjectURL(new Blob([buffer], { type })));
  return unpacked[id];
}

let plotly;
function withPlotly() {
  plotly ??= library("library-of-charts").then((address) => new Promise((done, failed) => {
    const script = document.createElement("script");
    script.onload = () => done(window.Plotly);
    script.onerror = failed;
    script.src = address;
    document.head.append(script);
  }));
  return plotly;
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const mark = () => document.documentElement.classList.toggle("dark", dark.matches);  // as the tables' library asks
mark();
dark.addEventListener("change", mark);
const canvas = document.createElement("canvas").getContext("2d");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function widthOf(text, size) {
  canvas.font = `${size}px "Open Sans", verdana, arial, sans-serif`;
  const plain = document.createElement("textarea");
  plain.innerHTML = text;
  return canvas.measureText(plain.value).width;
}

/** A chart's data and layout for the width that it has and the colours that the page has. */
async function figureOf(chart) {
  const figure = await content(chart.dataset.figure).json();
  const names = figure.data.filter((trace) => trace.showlegend !== false).map((trace) => widthOf(trace.name, 11) + 70);
  const columns = Math.max(1, Math.floor((chart.clientWidth - 80) / Math.max(...names, 1)));
  const rows = names.length > 1 ? Math.ceil(names.length / columns) : 0;
  const axis = { gridcolor: colour("--faint"), linecolor: colour("--line"), zeroline: false };
  Object.assign(figure.layout, {
    height: 400 + 20 * rows, margin: { ...figure.layout.margin, b: 55 + 20 * rows }, autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink") },
    xaxis: { ...axis, ...figure.layout.xaxis }, yaxis: { ...axis, ...figure.layout.yaxis },
  });
  if (rows === 0) figure.layout.showlegend = false;
  for (const trace of figure.data) {
    if (trace.line?.color === "#000000") trace.line.color = colour("--ink");
    if (trace.line?.color === "#767676" && dark.matches) trace.line.color = trace.marker.color = "#a0a0a0";
    trace.labels = trace.text;
  }
  return figure;
}

/** The figure of a chart, which is given its height: a page does not move under its reader when charts are drawn. */
async function reserved(chart) {
  const figure = await figureOf(chart);
  chart.style.height = `${figure.layout.height}px`;
  return figure;
}

const POSITIONS = ["top center", "middle right", "bottom center", "middle left",
  "top right", "bottom right", "top left", "bottom left"];

/** The box of a label of this size at a point, as plotly puts it there. */
function boxOf(x, y, width, height, position) {
  const [vertical, horizontal] = position.split(" ");
  const left = { left: x - 6 - width, center: x - width / 2, right: x + 6 }[horizontal];
  const top = { top: y - 7 - height, middle: y - height / 2, bottom: y + 7 }[vertical];
  return [left, top, left + width, top + height];
}

const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/**
 * Gives each label a place where it meets no other label, nor, if there is one, a point; a label without such a place
 * is left out, as its point still says what it is. Labels of earlier series come first.
 */
async function placeLabels(Plotly, chart) {
  const { xaxis, yaxis } = chart._fullLayout;
  const [right, bottom] = [xaxis._length, yaxis._length];
  const at = (trace, i) => [xaxis.d2p(trace.x[i]), yaxis.d2p(trace.y[i])];
  const points = chart.data.flatMap((trace) => (trace.mode?.includes("markers")
    ? [...trace.x.keys()].map((i) => at(trace, i)).map(([x, y]) => [x - 5, y - 5, x + 5, y + 5]) : []));
  const taken = [], changed = [], texts = [], positions = [];
  for (const [index, trace] of chart.data.entries()) {
    if (!trace.labels || trace.visible === "legendonly") continue;
    const text = trace.labels.map(() => ""), position = trace.labels.map(() => POSITIONS[0]);
    for (const [i, label] of trace.labels.entries()) {
      const [x, y] = at(trace, i);
      if (!label || !(x >= 0 && x <= right && y >= 0 && y <= bottom)) continue;
      let best = null, least = Infinity;
      for (const [rank, place] of POSITIONS.entries()) {
        const box = boxOf(x, y, widthOf(label, 11), 13, place);
        if (box[0] < 0 || box[1] < 0 || box[2] > right || box[3] > bottom) continue;
        if (taken.some((other) => meet(box, other))) continue;
        const cost = 10 * points.filter((point) => meet(box, point)).length + rank;
        if (cost < least) [best, least] = [[place, box], cost];
      }
      if (best === null || least >= 30) continue;
      [text[i], position[i]] = [label, best[0]];
      taken.push(best[1]);
    }
    changed.push(index);
    texts.push(text);
    positions.push(position);
  }
  if (changed.length) await Plotly.restyle(chart, { text: texts, textposition: positions }, changed);
}

async function draw(chart) {
  const Plotly = await withPlotly();
  const { data, layout } = await reserved(chart);
  await Plotly.react(chart, data, layout, {
    displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"],
  });
  if (!chart.dataset.drawn) {
    chart.dataset.drawn = "yes";
    chart.on("plotly_relayout", () => placeLabels(Plotly, chart));
    let width = chart.clientWidth;
    new ResizeObserver(() => {
      if (chart.clientWidth && chart.clientWidth !== width) {
        width = chart.clientWidth;
        draw(chart);
      }
    }).observe(chart);
  }
  await placeLabels(Plotly, chart);
}

const charts = [...document.querySelectorAll(".chart")];
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      seen.unobserve(target);
      draw(target);
    }
  }
}, { rootMargin: "600px" });
await Promise.all(charts.map(reserved));
charts.forEach((chart) => seen.observe(chart));
window.addEventListener("beforeprint", () => charts.filter((chart) => !chart.dataset.drawn).forEach(draw));
dark.addEventListener("change", () => charts.filter((chart) => chart.dataset.drawn).forEach(draw));

/** A table's rows as CSV, numbers with all their digits. */
function csvOf(table) {
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  // A text that a spreadsheet would take for a formula is one no more, as in the files.
  const safe = (text) => (/^[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text);
  const said = (node) => safe((node.querySelector("summary") ?? node).textContent.trim());
  const cell = (node) => quoted("exact" in node.dataset ? node.dataset.order : said(node));
  const lines = [[...table.tHead.rows[0].cells].map((node) => quoted(node.textContent.trim()))];
  for (const row of table.rowsOf()) lines.push([...row.cells].map(cell));
  return lines.map((line) => line.join(",")).join("\n") + "\n";
}

const style = document.createElement("link");
style.rel = "stylesheet";
style.href = await library("style-of-tables", "text/css");
document.head.prepend(style);
const { default: DataTable } = await import(await library("library-of-tables"));
for (const table of document.querySelectorAll("table.sortable")) {
  if (table.dataset.more) table.tBodies[0].insertAdjacentHTML("beforeend", await content(table.dataset.more).text());
  const rows = table.tBodies[0].rows.length, paged = Number(table.dataset.page);
  const made = new DataTable(table, {
    order: [], paging: rows > paged, searching: rows > 8, info: rows > paged, pageLength: paged, autoWidth: false,
    lengthChange: false, language: { search: "Filter:" },
  });
  // Of many tables on one page each has pages of its own.
  const container = table.closest(".dt-container");
  for (const nav of container.querySelectorAll("nav")) {
    nav.setAttribute("aria-label", `Pages of ${table.closest(".table").getAttribute("aria-label")}`);
  }
  table.rowsOf = () => made.rows({ search: "applied", order: "applied" }).nodes().toArray();
}
for (const button of document.querySelectorAll("button[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(csvOf(document.getElementById(button.dataset.copies)));
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy as CSV"; }, 2000);
  });
  button.hidden = !navigator.clipboard;
}
document.body.dataset.ready = "yes";
