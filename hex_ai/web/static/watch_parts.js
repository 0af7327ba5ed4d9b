// @ts-check
/** Small parts of the Watch view: elements, numbers in words, requests. */

/** @typedef {Record<string, string|number|boolean|((event: any) => void)>} Attributes */

/**
 * Sets attributes; a function becomes a listener, `true` an empty attribute, `false` none.
 * @template {Element} T
 * @param {T} node
 * @param {Attributes} attributes
 * @param {(Node|string)[]} children
 */
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Node|string)} children
 */
export const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...string} children
 */
export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/** @param {string} title @param {...(Node|string)} children */
export const section = (title, ...children) =>
  el("section", { class: "watch-section" }, el("h3", {}, title), ...children);

/** @param {string} text @param {() => void} click @param {Attributes} [more] */
export const button = (text, click, more = {}) => el("button", { type: "button", click, ...more }, text);

/** Three digits that matter, or all before the point. @param {number|null|undefined} value */
export function number(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value && Math.abs(value) < 1e-3) return value.toExponential(2);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** @param {number|null|undefined} share */
export const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(1)}\u00a0%`);

/** @param {number} size */
export const board = (size) => `${size}×${size}`;

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** @param {number|null} seconds */
export function duration(seconds) {
  if (seconds == null) return "–";
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (!minutes) return `${Math.round(seconds)} s`;
  if (!hours) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

/** Wilson's 95 % interval of a share. @param {number} share @param {number} games */
export function interval(share, games) {
  const z = 1.96 ** 2 / games;
  const half = Math.sqrt(z * (share * (1 - share) + z / 4));
  return [-half, half].map((by) => (share + z / 2 + by) / (1 + z));
}

/** @param {[string, string][]} facts names and values; those without a value are left out */
export function factList(facts) {
  const rows = facts.filter(([, value]) => value !== "–").map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", { class: "watch-facts" }, ...rows);
}

/** @param {string|Node} head @param {(string|Node)[]} cells @param {Attributes} [attributes] */
export const row = (head, cells, attributes) =>
  el("tr", attributes, el("th", { scope: "row" }, head), ...cells.map((cell) => el("td", {}, cell)));

/** A table in a box that scrolls sideways. @param {string} caption @param {string[]} heads @param {Element} body */
export function table(caption, heads, body) {
  const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)));
  const whole = el("table", {}, el("caption", { class: "watch-hidden" }, caption), el("thead", {}, head), body);
  return el("div", { class: "watch-scroll", role: "region", "aria-label": caption, tabindex: 0 }, whole);
}

/** What the server refuses for good: asking again would not help. */
export class Refused extends Error {}

/**
 * A JSON answer of the server.
 * @param {string} path
 * @param {Record<string, string|number>} query
 * @param {AbortSignal} signal
 */
export async function ask(path, query, signal) {
  const words = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`${path}?${words}`, { signal });
  const told = await response.json().catch(() => null);
  if (response.ok && told) return told;
  const Kind = response.status < 500 && response.status !== 429 ? Refused : Error;
  throw new Kind(told?.error ?? `the server answers ${response.status}`);
}

/** @param {unknown} error */
export const reason = (error) =>
  error instanceof TypeError ? "the server cannot be reached" : error instanceof Error ? error.message : `${error}`;
