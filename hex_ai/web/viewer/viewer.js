// @ts-check
/** A game in a file, to click through. */

import { BoardView } from "../static/board.js";
import { curve } from "../static/graph.js";
import { BLUE, RED, capital, cellName, chainOf, colourName } from "../static/hex.js";

/** @typedef {import("../static/board.js").Hint} Hint */
/** @typedef {import("../static/board.js").Mark} Mark */
/**
 * A step of the game as it is stored: what led there, a cell or a word; `by` whom, 0 for no move; cells that it set,
 * with what stands there now; whose turn it is; and of the search, in thousandths, Red's chance, the candidates (cell,
 * prior, chance of the side to move, cell, …) and the improved policy (cell, probability, cell, …).
 * @typedef {{what: number | string, by: number, set?: [number, number][], turn?: number, said?: string[],
 *   marks?: [string, number, string][], chance?: number, seen?: number[], policy?: number[]}} Stored
 */
/**
 * A step with everything that may be left out.
 * @typedef {{what: number | string, by: number, set: [number, number][], turn: number, said: string[],
 *   marks: [string, number, string][], chance: number | null, seen: number[][], policy: number[][]}} Step
 */
/** @typedef {{step: Step, stones: number[], orders: Map<number, number>, last: number, number: number}} Place */

/** @param {string} id @returns {any} */
const by = (id) => document.getElementById(id);

/** @type {{size: number, result: string, notes: string[], start: number, steps: Stored[]}} */
const data = JSON.parse(by("data").textContent);
const steps = data.steps.map(stepOf);
const end = steps.length - 1;
const places = placesOf();
const view = new BoardView(by("board"), goToStone);
let at = data.start;

/** @param {Stored} stored @returns {Step} */
function stepOf({ what, by, set, turn, said = [], marks = [], chance, seen = [], policy = [] }) {
  return {
    what, by, set: set ?? [[Number(what), by]], turn: turn ?? -by, said, marks, chance: chance ?? null,
    seen: inRows(seen, 3), policy: inRows(policy, 2),
  };
}

/** @param {number[]} numbers @param {number} width */
function inRows(numbers, width) {
  return Array.from({ length: numbers.length / width }, (_, k) => numbers.slice(k * width, (k + 1) * width));
}

/** The boards of all steps. @returns {Place[]} */
function placesOf() {
  let [stones, orders, number] = [Array(data.size ** 2).fill(0), /** @type {Map<number, number>} */ (new Map()), 0];
  return steps.map((step) => {
    [stones, orders] = [[...stones], new Map(orders)];
    for (const [cell, stone] of step.set) {
      stones[cell] = stone;
      orders.delete(cell);
    }
    if (step.by) number += 1;
    const last = lastOf(step);
    if (last >= 0) orders.set(last, number);
    return { step, stones, orders, last, number };
  });
}

/** The cell of a move, or of the stone that a swap moved; -1 if there is none. @param {Step} step */
function lastOf(step) {
  if (typeof step.what === "number") return step.what;
  return step.what === "swap" ? (step.set.find(([, stone]) => stone) ?? [-1])[0] : -1;
}

/** @param {Step} step */
function nameOf({ what }) {
  if (typeof what === "number") return cellName(what, data.size);
  return what === "none" ? "start" : what;
}

/** @param {number} thousandths */
const percent = (thousandths) => String(Math.round(thousandths / 10));

/** @param {number} thousandths */
const exactly = (thousandths) => `${(thousandths / 10).toFixed(1)} %`;

/** @param {number} next */
function go(next) {
  at = Math.max(0, Math.min(end, next));
  show();
}

/** To the move that put a stone on a cell. @param {number} cell */
function goToStone(cell) {
  const { orders } = places[at];
  const found = places.findIndex(({ step, number }) => step.by && number === orders.get(cell));
  if (found >= 0) go(found);
}

/** The numbers to show on the cells of a step. @param {Step} step @param {number} played @returns {Map<number, Hint>} */
function hintsOf(step, played) {
  /** @type {Map<number, {kind: "policy" | "value", heat: number, texts: string[]}>} */
  const found = new Map();
  /** @param {number} cell @param {"policy" | "value"} kind @param {number} heat @param {number} shown */
  const add = (cell, kind, heat, shown) => {
    const known = found.get(cell);
    if (known) known.texts.push(percent(shown));
    else found.set(cell, { kind, heat, texts: [percent(shown)] });
  };
  const root = (/** @type {number} */ share) => Math.sqrt(share / 1000);
  if (by("show-values").checked) for (const [cell, , chance] of step.seen) add(cell, "value", chance / 1000, chance);
  if (by("show-policy").checked) for (const [cell, share] of step.policy) add(cell, "policy", root(share), share);
  if (by("show-priors").checked) for (const [cell, prior] of step.seen) add(cell, "policy", root(prior), prior);
  return new Map([...found].map(([cell, { kind, heat, texts }]) => {
    const [text, ...rest] = texts;
    return [cell, { text, small: rest.join(" · ") || undefined, heat, best: cell === played, kind }];
  }));
}

/** @param {Step} step @returns {Map<number, Mark[]>} */
function marksOf(step) {
  const marks = new Map();
  for (const [kind, cell, text] of step.marks) marks.set(cell, [...(marks.get(cell) ?? []), { kind, text }]);
  return marks;
}

/** What was played next: a cell, or -1. */
function playedNext() {
  const what = steps[at + 1]?.what;
  return typeof what === "number" ? what : -1;
}

/** What is to say about the board. @param {Place} place */
function inWords({ step, stones }) {
  const move = step.by ? `${capital(colourName(step.by))} ${nameOf(step)}. ` : "";
  if (at === end) return `${move}${capital(data.result)}`;
  const winner = [RED, BLUE].find((colour) => chainOf(stones, data.size, colour).length);
  return `${move}${winner ? `${capital(colourName(winner))} has joined` : `${capital(colourName(step.turn))} to move`}`;
}

function show() {
  const place = places[at];
  const { step, stones, orders, last } = place;
  const host = by("board");
  view.show({
    size: data.size, stones, last, marks: marksOf(step), hints: hintsOf(step, playedNext()),
    chain: [RED, BLUE].flatMap((colour) => chainOf(stones, data.size, /** @type {1 | -1} */ (colour))),
    orders: by("show-numbers").checked ? orders : null,
    turned: host.clientWidth < 700 && window.innerHeight > window.innerWidth,
  });
  by("where").textContent = `${at} of ${end}`;
  by("status").textContent = inWords(place);
  by("said").textContent = [...step.said, ...(at === end ? data.notes : [])].join("\n");
  for (const [id, off] of [["first", at === 0], ["back", at === 0], ["on", at === end], ["last", at === end]]) {
    by(String(id)).disabled = off;
  }
  showSearch(step);
  showMove();
}

/** @param {Step} step */
function showSearch(step) {
  const chances = steps.map(({ chance }) => (chance === null ? null : chance / 1000));
  by("graph").replaceChildren(curve({ chances, slips: chances.map(() => false), here: at }, go));
  const side = capital(colourName(step.turn));
  const ifNot = steps[at + 1]?.what === "swap" ? `, if ${side} had not swapped` : "";
  by("chance").textContent = step.chance === null ? "This position was not searched."
    : `Red ${exactly(step.chance)}, Blue ${exactly(1000 - step.chance)}${ifNot}`;
  by("candidates-title").textContent = `${side}'s candidates${ifNot}`;
  const policy = new Map(step.policy.map(([cell, share]) => [cell, share]));
  by("candidates").replaceChildren(...step.seen.map(([cell, prior, chance]) => {
    const share = policy.get(cell);
    return row(cell, [exactly(chance), exactly(prior), share === undefined ? "–" : exactly(share)]);
  }));
  by("candidates").parentElement.hidden = !step.seen.length;
}

/** @param {number} cell @param {string[]} numbers */
function row(cell, numbers) {
  const line = document.createElement("tr");
  const played = cell === playedNext();
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = cellName(cell, data.size) + (played ? " played" : "");
  line.classList.toggle("played", played);
  line.append(name, ...numbers.map((number) => {
    const field = document.createElement("td");
    field.textContent = number;
    return field;
  }));
  return line;
}

function showMove() {
  const host = by("moves");
  host.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const button = host.children[at];
  button.setAttribute("aria-current", "true");
  host.scrollTop = button.offsetTop - host.clientHeight / 2;
}

function listMoves() {
  by("moves").append(...places.map(({ step, number }, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = step.by ? `${number}. ${nameOf(step)}` : nameOf(step);
    if (step.by) button.title = capital(colourName(step.by));
    button.addEventListener("click", () => go(k));
    return button;
  }));
}

/** @type {Record<string, () => void>} */
const jumps = {
  first: () => go(0), back: () => go(at - 1), on: () => go(at + 1), last: () => go(end),
};
/** @type {Record<string, string>} */
const keys = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" };

by("game").hidden = false;
by("search").hidden = steps.every(({ seen }) => !seen.length);
listMoves();
for (const [id, jump] of Object.entries(jumps)) by(id).addEventListener("click", jump);
for (const box of document.querySelectorAll("input")) box.addEventListener("change", show);
// The place of the keys stays where it is when a stone is pointed at.
by("board").addEventListener("mousedown", (/** @type {Event} */ event) => event.preventDefault());
window.addEventListener("resize", show);
window.addEventListener("keydown", (event) => {
  const jump = jumps[keys[event.key]];
  if (!jump || event.ctrlKey || event.metaKey || event.altKey) return;
  jump();
  event.preventDefault();
});
show();
