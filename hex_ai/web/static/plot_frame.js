// @ts-check
/** The frame of a plot: title, picture, the value pointed at, and files to save. */
import { button, el, svg } from "./watch_parts.js";

/**
 * @typedef {{x: number, y: number, text: string}} Mark a value that can be pointed at, in pixels
 *
 * @typedef {object} Picture
 * @property {SVGSVGElement} svg
 * @property {Mark[][]} marks in groups: left and right stay in one, up and down change it
 * @property {string} summary the picture in words
 * @property {(string|number)[][]} rows its values as a table, heads first
 */

const RESOLVED = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-family", "font-size"];
const TITLE = 28;
const NARROWEST = 200;
const HINT = "Point at the plot, or use the arrow keys in it, to read a value.";
/** @type {Record<string, number>} */
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };

/** @param {string} name @param {Blob} blob */
function save(name, blob) {
  const href = URL.createObjectURL(blob);
  el("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** @param {string|number} cell */
const quoted = (cell) => (/[",\r\n]/.test(`${cell}`) ? `"${`${cell}`.replaceAll('"', '""')}"` : cell);

/** A copy that needs no style sheet, under its title. @param {SVGSVGElement} picture @param {string} title */
function standalone(picture, title) {
  const copy = /** @type {SVGSVGElement} */ (picture.cloneNode(true));
  const originals = [picture, ...picture.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, k) => {
    const style = getComputedStyle(originals[k]);
    for (const name of RESOLVED) node.setAttribute(name, style.getPropertyValue(name));
  });
  const { color, backgroundColor, fontFamily } = getComputedStyle(picture);
  const { width, height } = picture.viewBox.baseVal;
  copy.querySelector(".plot-ring")?.remove();
  copy.setAttribute("viewBox", `0 ${-TITLE} ${width} ${height + TITLE}`);
  copy.setAttribute("height", `${height + TITLE}`);
  copy.prepend(
    svg("rect", { y: -TITLE, width, height: height + TITLE, fill: backgroundColor }),
    svg("text", { x: 8, y: -9, fill: color, "font-family": fontFamily, "font-size": 15 }, title),
  );
  return copy;
}

/** @param {SVGSVGElement} copy @returns {Promise<Blob>} */
async function png(copy) {
  const text = new XMLSerializer().serializeToString(copy);
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode().finally(() => URL.revokeObjectURL(image.src));
  const canvas = el("canvas", { width: 2 * image.naturalWidth, height: 2 * image.naturalHeight });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) => canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture")))));
}

/**
 * Keeps which value is pointed at, by pointer, touch and keys, through new pictures.
 * @param {HTMLElement} stage holds the picture and the focus
 * @param {HTMLElement} readout
 */
function pointing(stage, readout) {
  /** @type {Picture|null} */
  let picture = null;
  let [group, index] = [0, -1];
  const ring = svg("circle", { class: "plot-ring", r: 7 });

  function show() {
    const marks = picture?.marks[group] ?? [];
    const mark = marks[index];
    readout.textContent = mark?.text ?? HINT;
    stage.setAttribute("aria-valuetext", mark?.text ?? "no value chosen");
    stage.setAttribute("aria-valuemax", `${marks.length}`);
    stage.setAttribute("aria-valuenow", `${index + 1}`);
    ring.remove();
    if (!mark) return;
    ring.setAttribute("transform", `translate(${mark.x},${mark.y})`);
    picture?.svg.append(ring);
  }

  /** The nearest mark of some groups. @param {number[]} groups @param {number} x @param {number} y */
  function choose(groups, x, y) {
    let best = Infinity;
    for (const g of groups) {
      picture?.marks[g]?.forEach((mark, k) => {
        const gap = Math.hypot(mark.x - x, mark.y - y);
        if (gap < best) [best, group, index] = [gap, g, k];
      });
    }
    show();
  }

  /** @param {PointerEvent} event */
  function point({ clientX, clientY }) {
    if (!picture) return;
    const { left, top } = picture.svg.getBoundingClientRect();
    choose([...picture.marks.keys()], clientX - left, clientY - top);
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const marks = picture?.marks[group];
    const side = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!marks || !(side || event.key in STEPS)) return;
    event.preventDefault();
    const from = marks[Math.max(0, index)];
    if (side) return choose([group + side], from.x, from.y);
    index = Math.max(0, Math.min(marks.length - 1, index + STEPS[event.key]));
    show();
  }

  stage.addEventListener("pointermove", point);
  stage.addEventListener("pointerdown", point);
  stage.addEventListener("keydown", press);
  /** @param {Picture} drawn */
  return (drawn) => {
    picture = drawn;
    if (!drawn.marks[group]?.[index]) [group, index] = [0, -1];
    show();
  };
}

/**
 * A plot that redraws when its data or its width change, and hides while there is nothing to draw.
 * @template T
 * @param {string} title
 * @param {(data: T, width: number) => Picture|null} draw
 * @returns {{element: HTMLElement, update(data: T, title?: string): void, stop(): void}}
 */
export function plotFrame(title, draw) {
  /** @type {T|undefined} */
  let data;
  let known = "";
  let width = 400;
  /** @type {Picture|null} */
  let picture = null;
  const heading = el("h4", {}, title);
  const readout = el("p", { class: "plot-readout", "aria-hidden": "true" });
  const summary = el("p", { class: "watch-hidden" });
  const stage = el("div", { class: "plot-stage", tabindex: 0, role: "slider", "aria-valuemin": 0 });
  const point = pointing(stage, readout);
  const file = (/** @type {string} */ end) => `${title.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase()}.${end}`;

  async function savePng() {
    if (!picture) return;
    try {
      save(file("png"), await png(standalone(picture.svg, title)));
    } catch {
      readout.textContent = "This browser does not make the picture; CSV has the values.";
    }
  }

  function saveCsv() {
    const text = picture?.rows.map((row) => `${row.map(quoted).join(",")}\r\n`).join("") ?? "";
    save(file("csv"), new Blob([text], { type: "text/csv" }));
  }

  const tools = el("div", { class: "plot-tools" }, button("PNG", savePng), button("CSV", saveCsv));
  const head = el("div", { class: "plot-head" }, heading, tools);
  const element = el("figure", { class: "plot", hidden: true }, head, stage, readout, summary);

  function redraw() {
    picture = data === undefined ? null : draw(data, width);
    element.hidden = !picture;
    if (!picture) return;
    heading.textContent = title;
    summary.textContent = picture.summary;
    picture.svg.setAttribute("role", "img");
    picture.svg.setAttribute("aria-label", title);
    stage.setAttribute("aria-label", title);
    for (const tool of tools.children) tool.setAttribute("aria-label", `${tool.textContent}: ${title}`);
    stage.replaceChildren(picture.svg);
    point(picture);
  }

  const sizes = new ResizeObserver(([{ contentRect }]) => {
    const now = Math.max(NARROWEST, Math.floor(contentRect.width));
    if (!contentRect.width || now === width) return;
    width = now;
    redraw();
  });
  sizes.observe(stage);

  return {
    element,
    update(next, name = title) {
      const said = JSON.stringify(next) + name;
      if (said === known) return;
      [known, data, title] = [said, next, name];
      redraw();
    },
    stop: () => sizes.disconnect(),
  };
}
