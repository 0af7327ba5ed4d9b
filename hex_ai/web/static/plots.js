// @ts-check
/** Draws lines and bars with axes. */
import { number, percent, svg } from "./watch_parts.js";

/** @typedef {import("./plot_frame.js").Picture} Picture */
/** @typedef {{x: number, y: number, spread?: number, text?: string}} Point `text` is what the readout says of it */
/** @typedef {{name: string, points: Point[]}} Series */
/** @typedef {{name: string, y: number, spread: number}} Level a line across */

/**
 * @typedef {object} Chart
 * @property {Series[]} series
 * @property {string} xLabel
 * @property {string} yLabel
 * @property {number} [bar] width of bars, in units of x; lines without it
 * @property {boolean} [share] whether y is a share, shown in per cent
 * @property {Level[]} [levels]
 */

const HEIGHT = 250;
const [TOP, RIGHT, BOTTOM] = [12, 20, 44];
const LETTER = 6.7;
const SHAPES = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
  "M-3.5,-3.5h7v7h-7z",
  "M0,-4.6l4.4,7.6h-8.8z",
  "M0,-5l5,5l-5,5l-5,-5z",
  "M0,4.6l4.4,-7.6h-8.8z",
  "M-1.6,-4.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2v-2.9h-2.9v-3.2h2.9z",
];

/**
 * Round numbers from the first at or below `low` to the first at or above `high`.
 * @param {number} low
 * @param {number} high
 * @param {number} most how many steps, about
 * @param {number} [least] the smallest step
 */
export function ticks(low, high, most, least = 0) {
  const rough = Math.max(least, (high - low || Math.abs(high) || 1) / most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

/** @param {number[]} values evenly spaced @param {boolean} [share] */
function tickTexts(values, share) {
  const most = Math.max(...values.map(Math.abs));
  const [unit, sign] = share ? [0.01, "\u00a0%"] : most >= 1e6 ? [1e6, "M"] : most >= 1e4 ? [1e3, "k"] : [1, ""];
  const step = (values[1] - values[0]) / unit || 1;
  const decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const text = (/** @type {number} */ value) =>
    decimals > 4 ? value.toExponential(decimals + Math.floor(Math.log10(most))) : (value / unit).toFixed(decimals).replace("-", "−") + sign;
  return values.map((value) => (value ? text(value) : "0"));
}

/** @param {string} text @param {number} room pixels */
const cut = (text, room) =>
  text.length * LETTER > room ? `${text.slice(0, Math.max(3, Math.floor(room / LETTER) - 1))}…` : text;

/** @param {Chart} chart @param {number} value */
const told = (chart, value) => (chart.share ? percent(value) : number(value));

/** @param {Chart} chart @param {string} name @param {{y: number, spread?: number}} value */
const say = (chart, name, { y, spread }) =>
  `${name}: ${chart.yLabel} ${told(chart, y)}${spread ? ` ± ${told(chart, spread)}` : ""}`;

/** @param {Chart} chart */
function inWords(chart) {
  const lines = chart.series.map(({ name, points }) => {
    const [low, high] = reach(points.map((point) => point.y));
    const ends = [points[0].y, points[points.length - 1].y, low, high].map((y) => told(chart, y));
    return `${name}: ${points.length} values of ${chart.yLabel} over ${chart.xLabel}; first ${ends[0]}, last ${ends[1]}, lowest ${ends[2]}, highest ${ends[3]}.`;
  });
  return [...lines, ...(chart.levels ?? []).map((one) => `${say(chart, one.name, one)}.`)].join(" ");
}

/** @param {Chart} chart */
function rows({ series, levels = [], xLabel, yLabel }) {
  const points = series.flatMap(({ name, points }) =>
    points.map(({ x, y, spread = "" }) => [name, x, y, spread]),
  );
  return [["series", xLabel, yLabel, "half of its 95 % interval"], ...points, ...levels.map(({ name, y, spread }) => [name, "", y, spread])];
}

/** @param {number[]} values @returns {[number, number]} */
function reach(values) {
  return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
}

/**
 * Draws the legend of several series; its height.
 * @param {SVGSVGElement} picture
 * @param {Series[]} series
 * @param {number} width
 */
function legend(picture, series, width) {
  if (series.length < 2) return 0;
  let [x, y] = [0, 10];
  series.forEach(({ name }, k) => {
    const text = cut(name, width - 50);
    const needs = 50 + text.length * LETTER;
    if (x && x + needs > width) [x, y] = [0, y + 18];
    const look = `look-${k % SHAPES.length}`;
    picture.append(
      svg("path", { class: `plot-line ${look}`, d: `M${x + 4},${y}h26` }),
      svg("path", { class: `plot-mark ${look}`, d: SHAPES[k % SHAPES.length], transform: `translate(${x + 17},${y})` }),
      svg("text", { class: "plot-text", x: x + 36, y: y + 4 }, text),
    );
    x += needs;
  });
  return y + 12;
}

/**
 * From values to pixels, with the ticks of both axes.
 * @param {Chart} chart
 * @param {number} width
 * @param {number} top
 */
function scales({ series, levels = [], bar, share }, width, top) {
  const points = series.flatMap((one) => one.points);
  const half = (bar ?? 0) / 2;
  let [low, high] = reach(points.map((point) => point.x));
  [low, high] = [low - half, Math.max(high + half, low + 1e-9)];
  const [least, most] = reach([...points.flatMap(({ y, spread = 0 }) => [y - spread, y + spread]), ...levels.map(({ y }) => y)]);
  const yTicks = ticks(bar || (least > 0 && least < most / 2) ? 0 : least, most, 5, bar && 1);
  const yTexts = tickTexts(yTicks, share);
  const left = 26 + LETTER * Math.max(...yTexts.map((text) => text.length));
  const [floor, ceiling] = [yTicks[0], yTicks[yTicks.length - 1]];
  const bottom = HEIGHT - BOTTOM;
  const xTicks = ticks(low, high, Math.max(2, Math.floor((width - left) / 90)), bar && 1);
  return {
    ...{ left, bottom, right: width - RIGHT, middle: (top + TOP + bottom) / 2 },
    xTicks: tickTexts(xTicks).map((text, k) => ({ at: xTicks[k], text })).filter(({ at }) => at >= low && at <= high),
    yTicks: yTexts.map((text, k) => ({ at: yTicks[k], text })),
    /** @param {number} x */
    toX: (x) => left + ((x - low) / (high - low)) * (width - RIGHT - left),
    /** @param {number} y */
    toY: (y) => bottom - ((y - floor) / (ceiling - floor)) * (bottom - top - TOP),
  };
}

/** @typedef {ReturnType<typeof scales>} Scales */

/** @param {SVGSVGElement} picture @param {Chart} chart @param {Scales} scales */
function axes(picture, { xLabel, yLabel }, { left, right, bottom, middle, xTicks, yTicks, toX, toY }) {
  /** @param {string} text @param {string} anchor @param {string} place */
  const label = (text, anchor, place) =>
    picture.append(svg("text", { class: "plot-text", "text-anchor": anchor, transform: place }, text));
  for (const { at, text } of yTicks) {
    picture.append(svg("path", { class: "plot-grid", d: `M${left},${toY(at)}H${right}` }));
    label(text, "end", `translate(${left - 6},${toY(at) + 4})`);
  }
  for (const { at, text } of xTicks) {
    picture.append(svg("path", { class: "plot-axis", d: `M${toX(at)},${bottom}v5` }));
    label(text, "middle", `translate(${toX(at)},${bottom + 18})`);
  }
  picture.append(svg("path", { class: "plot-axis", d: `M${left},${bottom}H${right}` }));
  label(xLabel, "middle", `translate(${(left + right) / 2},${HEIGHT - 8})`);
  label(yLabel, "middle", `translate(12,${middle}) rotate(-90)`);
}

/** @param {SVGSVGElement} picture @param {Point[]} points @param {number} k @param {Scales} scales */
function line(picture, points, k, { toX, toY }) {
  const look = `look-${k % SHAPES.length}`;
  const every = Math.ceil(points.length / 24);
  const path = points.map(({ x, y }) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join("L");
  picture.append(svg("path", { class: `plot-line ${look}`, d: `M${path}` }));
  points.forEach(({ x, y, spread }, n) => {
    const at = toX(x);
    if (spread) {
      const [high, low] = [toY(y + spread), toY(y - spread)];
      const d = `M${at},${low}V${high}M${at - 4},${low}h8M${at - 4},${high}h8`;
      picture.append(svg("path", { class: `plot-spread ${look}`, d }));
    }
    if (n % every && n < points.length - 1) return;
    const place = `translate(${at},${toY(y)})`;
    picture.append(svg("path", { class: `plot-mark ${look}`, d: SHAPES[k % SHAPES.length], transform: place }));
  });
}

/** @param {SVGSVGElement} picture @param {Point[]} points @param {number} width in units of x @param {Scales} scales */
function bars(picture, points, width, { toX, toY }) {
  for (const { x, y } of points) {
    const from = toX(x - 0.45 * width);
    const place = { x: from, y: toY(y), width: toX(x + 0.45 * width) - from, height: toY(0) - toY(y) };
    picture.append(svg("rect", { class: "plot-bar", ...place }));
  }
}

/** Lines across, the highest first. @param {SVGSVGElement} picture @param {Chart} chart @param {Scales} scales */
function levels(picture, chart, { left, right, toY }) {
  let last = 0;
  return [...(chart.levels ?? [])]
    .sort((a, b) => b.y - a.y)
    .map((one) => {
      const y = toY(one.y);
      last = Math.max(y - 5, last + 14);
      picture.append(
        svg("path", { class: "plot-level", d: `M${left},${y}H${right}` }),
        svg("text", { class: "plot-text", x: left + 6, y: last }, cut(one.name, right - left - 12)),
      );
      return { x: right, y, text: say(chart, one.name, one) };
    });
}

/**
 * @param {Chart} chart
 * @param {number} width pixels
 * @returns {Picture|null} null where there is no value
 */
export function drawChart(chart, width) {
  const series = chart.series
    .map(({ name, points }) => ({ name, points: points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)) }))
    .filter(({ points }) => points.length);
  if (!series.length) return null;
  const sound = { ...chart, series };
  const picture = svg("svg", { class: "plot-picture", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT });
  const scale = scales(sound, width, legend(picture, series, width));
  axes(picture, chart, scale);
  series.forEach(({ points }, k) => (chart.bar ? bars(picture, points, chart.bar, scale) : line(picture, points, k, scale)));
  const marks = series.map(({ name, points }) =>
    points.map(({ x, y, spread, text }) => ({
      ...{ x: scale.toX(x), y: scale.toY(y) },
      text: text ?? `${say(chart, name, { y, spread })} at ${number(x)} ${chart.xLabel}`,
    })),
  );
  const across = levels(picture, chart, scale);
  return { svg: picture, marks: across.length ? [...marks, across] : marks, summary: inWords(sound), rows: rows(sound) };
}
