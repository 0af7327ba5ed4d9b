// @ts-check
/** The board as SVG: to play on by pointer and keys, or as a small picture. */

import { capital, cellName, colourName } from "./hex.js";

/**
 * What is shown on an empty cell: a text, how much of it (0 to 1), and whether it stands out.
 * @typedef {{text: string, small?: string, heat: number, best: boolean, kind: "policy" | "value" | "proven"}} Hint
 */
/** @typedef {{kind: string, text: string}} Mark */
/**
 * @typedef {{size: number, stones: number[], last?: number, chain?: number[], turned?: boolean,
 *   orders?: Map<number, number> | null, hints?: Map<number, Hint>, marks?: Map<number, Mark[]>}} View
 */

const NS = "http://www.w3.org/2000/svg";
const RADIUS = 20;
const WIDTH = Math.sqrt(3) * RADIUS;
const MARGIN = 1.55;

/** @typedef {[number, number]} Point */

/**
 * @param {string} name @param {Record<string, string | number>} attributes @param {(Node | string)[]} children
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  const element = /** @type {SVGElement} */ (document.createElementNS(NS, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** Where things lie, of a board upright or turned by a quarter. */
class Layout {
  /** @param {number} size @param {boolean} turned */
  constructor(size, turned) {
    this.size = size;
    this.turned = turned;
    const wide = (size - 1) * 1.5 * WIDTH + WIDTH + 2 * MARGIN * RADIUS;
    const high = (size - 1) * 1.5 * RADIUS + 2 * RADIUS + 2 * MARGIN * RADIUS;
    this.width = turned ? high : wide;
    this.height = turned ? wide : high;
  }

  /** @param {Point} point @returns {Point} */
  place([x, y]) {
    return this.turned ? [this.width - y, x] : [x, y];
  }

  /** @param {number} row @param {number} column @returns {Point} */
  centre(row, column) {
    return this.place([
      MARGIN * RADIUS + WIDTH / 2 + (column + row / 2) * WIDTH,
      MARGIN * RADIUS + RADIUS + row * 1.5 * RADIUS,
    ]);
  }

  /** @param {number} row @param {number} column @param {number[]} which @param {number} [scale] */
  corners(row, column, which, scale = 1) {
    const [x, y] = this.centre(row, column);
    return which.map((k) => {
      const angle = ((k + (this.turned ? 1.5 : 0)) * Math.PI) / 3;
      return `${(x + scale * RADIUS * Math.sin(angle)).toFixed(1)},${(y - scale * RADIUS * Math.cos(angle)).toFixed(1)}`;
    }).join(" ");
  }
}

const ALL = [0, 1, 2, 3, 4, 5];
const [TOP, RIGHT, BOTTOM, LEFT] = [[5, 0, 1], [0, 1, 2], [2, 3, 4], [3, 4, 5]];

/** @param {Layout} layout */
function edges(layout) {
  const end = layout.size - 1;
  const group = svg("g", { class: "edges", "aria-hidden": "true" });
  for (let k = 0; k <= end; k += 1) {
    for (const [colour, row, column, corners] of /** @type {[string, number, number, number[]][]} */ ([
      ["red", 0, k, TOP], ["red", end, k, BOTTOM], ["blue", k, 0, LEFT], ["blue", k, end, RIGHT],
    ])) {
      group.append(svg("polyline", { class: `edge ${colour}`, points: layout.corners(row, column, corners) }));
    }
  }
  return group;
}

/** @param {Layout} layout */
function names(layout) {
  const group = svg("g", { class: "names", "aria-hidden": "true" });
  for (let k = 0; k < layout.size; k += 1) {
    for (const [row, column, name] of /** @type {[number, number, string][]} */ ([
      [-0.95, k + 0.45, cellName(k, layout.size)[0]], [k, -0.95, String(k + 1)],
    ])) {
      const [x, y] = layout.centre(row, column);
      group.append(svg("text", { x, y }, name));
    }
  }
  return group;
}

/** A stone; the bar on it points to where its colour wants to go. @param {Layout} layout @param {number} cell @param {number} stone @param {string} order */
function stoneOf(layout, cell, stone, order) {
  const [x, y] = layout.centre(Math.floor(cell / layout.size), cell % layout.size);
  const name = colourName(stone);
  const group = svg("g", { class: `stone ${name}` }, svg("circle", { cx: x, cy: y, r: RADIUS * 0.72 }));
  if (order) {
    group.append(svg("text", { x, y, class: "order" }, order));
  } else {
    const [dx, dy] = (name === "red") !== layout.turned ? [0, RADIUS * 0.3] : [RADIUS * 0.3, 0];
    group.append(svg("line", { class: "bar", x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy }));
  }
  return group;
}

/** @param {Layout} layout @param {number} cell @param {Hint} hint */
function hintOf(layout, cell, hint) {
  const [row, column] = [Math.floor(cell / layout.size), cell % layout.size];
  const [x, y] = layout.centre(row, column);
  const group = svg("g", { class: `hint ${hint.kind}${hint.best ? " best" : ""}` });
  group.append(svg("polygon", {
    points: layout.corners(row, column, ALL, 0.9), "fill-opacity": (0.12 + 0.7 * hint.heat).toFixed(2),
  }));
  group.append(svg("text", { x, y: hint.small ? y - 4 : y }, hint.text));
  if (hint.small) group.append(svg("text", { x, y: y + 8, class: "small" }, hint.small));
  return group;
}

/** @param {Layout} layout @param {number} cell @param {Mark} mark */
function markOf(layout, cell, mark) {
  const [x, y] = layout.centre(Math.floor(cell / layout.size), cell % layout.size);
  const r = RADIUS * 0.42;
  /** @type {Record<string, () => SVGElement>} */
  const shapes = {
    label: () => svg("text", { x, y }, mark.text),
    cross: () => svg("path", { d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}` }),
    circle: () => svg("circle", { cx: x, cy: y, r }),
    triangle: () => svg("path", { d: `M${x} ${y - r}L${x + r} ${y + r * 0.8}L${x - r} ${y + r * 0.8}Z` }),
    square: () => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
    selected: () => svg("circle", { cx: x, cy: y, r: r * 0.5, class: "full" }),
  };
  const element = (shapes[mark.kind] ?? shapes.selected)();
  element.classList.add("mark");
  return element;
}

/** A small picture of a position. @param {number} size @param {number[]} stones @param {{last?: number, label?: string}} [options] */
export function drawBoard(size, stones, options = {}) {
  const layout = new Layout(size, false);
  const picture = svg("svg", {
    class: "board small", viewBox: `0 0 ${layout.width.toFixed(1)} ${layout.height.toFixed(1)}`,
    role: "img", "aria-label": options.label ?? `a board of ${size} by ${size}`,
  });
  const cells = svg("g", {});
  stones.forEach((_, cell) => {
    cells.append(svg("polygon", { class: "cell", points: layout.corners(Math.floor(cell / size), cell % size, ALL) }));
  });
  picture.append(cells, edges(layout));
  stones.forEach((stone, cell) => {
    if (stone) picture.append(stoneOf(layout, cell, stone, ""));
    if (cell === options.last) picture.append(lastMark(layout, cell));
  });
  return picture;
}

/** @param {Layout} layout @param {number} cell */
function lastMark(layout, cell) {
  const [cx, cy] = layout.centre(Math.floor(cell / layout.size), cell % layout.size);
  return svg("circle", { class: "last", cx, cy, r: RADIUS * 0.86 });
}

/** A board to play on. */
export class BoardView {
  /**
   * @param {HTMLElement} host
   * @param {(cell: number) => void} chosen
   */
  constructor(host, chosen) {
    this.host = host;
    this.chosen = chosen;
    this.layout = new Layout(1, false);
    /** @type {SVGElement[]} */
    this.cells = [];
    this.above = svg("g", { class: "above", "aria-hidden": "true" });
    this.at = -1;
    /** @type {View} */
    this.view = { size: 0, stones: [] };
  }

  /** @param {View} view */
  show(view) {
    const turned = view.turned ?? false;
    if (view.size !== this.view.size || turned !== this.layout.turned) this.#build(view.size, turned);
    this.view = view;
    this.cells.forEach((cell, k) => cell.setAttribute("aria-label", this.describe(k)));
    this.above.replaceChildren(...this.#things(view));
  }

  /** @param {View} view */
  *#things(view) {
    const { size, stones, marks, hints, orders } = view;
    for (const cell of view.chain ?? []) {
      const points = this.layout.corners(Math.floor(cell / size), cell % size, ALL);
      yield svg("polygon", { class: `chain ${colourName(stones[cell])}`, points });
    }
    for (const [cell, hint] of hints ?? []) if (!stones[cell]) yield hintOf(this.layout, cell, hint);
    for (let cell = 0; cell < stones.length; cell += 1) {
      if (stones[cell]) yield stoneOf(this.layout, cell, stones[cell], String(orders?.get(cell) ?? ""));
    }
    if (view.last !== undefined && view.last >= 0) yield lastMark(this.layout, view.last);
    for (const [cell, some] of marks ?? []) for (const mark of some) yield markOf(this.layout, cell, mark);
  }

  /** @param {number} size @param {boolean} turned */
  #build(size, turned) {
    const layout = new Layout(size, turned);
    this.layout = layout;
    this.at = Math.floor((size * size) / 2);
    const grid = svg("g", { role: "grid", "aria-label": `board of ${size} by ${size}` });
    this.cells = [];
    for (let row = 0; row < size; row += 1) {
      const line = svg("g", { role: "row" });
      for (let column = 0; column < size; column += 1) {
        const cell = svg("g", { role: "gridcell", class: "cell", tabindex: "-1", "data-cell": row * size + column },
          svg("polygon", { points: layout.corners(row, column, ALL) }));
        this.cells.push(cell);
        line.append(cell);
      }
      grid.append(line);
    }
    this.cells[this.at].setAttribute("tabindex", "0");
    const picture = svg("svg", {
      class: "board", viewBox: `0 0 ${layout.width.toFixed(1)} ${layout.height.toFixed(1)}`,
    }, grid, edges(layout), names(layout), this.above);
    picture.addEventListener("click", (event) => this.#pointed(event));
    picture.addEventListener("keydown", (event) => this.#pressed(/** @type {KeyboardEvent} */ (event)));
    this.host.replaceChildren(picture);
  }

  /** @param {Event} event */
  #pointed(event) {
    const found = /** @type {Element} */ (event.target).closest("[data-cell]");
    if (found) this.chosen(Number(found.getAttribute("data-cell")));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const cell = Number(/** @type {Element} */ (event.target).getAttribute("data-cell"));
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") {
      this.chosen(cell);
    } else if (event.key === "Escape") {
      this.cells[cell].blur();
    } else if (event.key.startsWith("Arrow")) {
      this.#go(cell, event.key);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} cell @param {string} key */
  #go(cell, key) {
    const upright = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const turned = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [1, 0], ArrowRight: [-1, 0] };
    const steps = /** @type {Record<string, number[]>} */ (this.layout.turned ? turned : upright);
    const { size } = this.layout;
    const row = Math.floor(cell / size) + steps[key][0];
    const column = (cell % size) + steps[key][1];
    if (row >= 0 && column >= 0 && row < size && column < size) this.focus(row * size + column);
  }

  /** Moves the keyboard's place to a cell. @param {number} [cell] */
  focus(cell = this.at) {
    this.cells[this.at].setAttribute("tabindex", "-1");
    this.at = cell;
    this.cells[cell].setAttribute("tabindex", "0");
    this.cells[cell].focus();
  }

  /** A cell in words. @param {number} cell */
  describe(cell) {
    const { size, stones, last, hints, marks, orders } = this.view;
    const parts = [cellName(cell, size)];
    const stone = stones[cell];
    parts.push(stone ? colourName(stone) : "empty");
    const order = orders?.get(cell);
    if (stone && order) parts.push(`move ${order}`);
    if (cell === last) parts.push("last move");
    const hint = stone ? undefined : hints?.get(cell);
    if (hint) parts.push([hint.text, hint.small].filter(Boolean).join(", "));
    for (const mark of marks?.get(cell) ?? []) parts.push(`${mark.kind} ${mark.text}`.trim());
    return capital(parts.join(", "));
  }
}
