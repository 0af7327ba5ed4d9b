// @ts-check
/** Review: the course of a game, what its moves lost, its variations and comments. */

import { isAbort, post, said, stream } from "./api.js";
import { curve } from "./graph.js";
import { RED, capital, cellIndex, colourName, colourOf, stonesText } from "./hex.js";

/** @typedef {import("./game.js").Game} Game */
/** @typedef {import("./analysis.js").Analysis} Analysis */
/** @typedef {{cell: string, value: number, policy: number}} Seen */
/** @typedef {{value: number, over: string | null, moves: Seen[]}} Swept */
/** @typedef {{at: number, loss: number, grade: string, sign: string, better: Seen[]}} Judged */

/** What a move may lose, of the chance to win, to have this name. */
const GRADES = /** @type {[number, string, string][]} */ ([
  [0.02, "good", ""], [0.06, "inaccuracy", "?!"], [0.15, "mistake", "?"], [Infinity, "blunder", "??"],
]);

const BETTER = 3;
const MISTAKES = 6;

export class Review extends EventTarget {
  /** @param {Game} game @param {Analysis} analysis */
  constructor(game, analysis) {
    super();
    this.game = game;
    this.analysis = analysis;
    /** @type {Map<string, Swept>} */
    this.swept = new Map();
    /** Red's chances by ply as the game's own search had them, of a game that was recorded. @type {(number | null)[]} */
    this.recorded = [];
    this.words = "";
    this.stopper = new AbortController();
    game.addEventListener("new", () => {
      this.stopper.abort();
      this.recorded = [];
    });
  }

  /** @param {number} at */
  #key(at) {
    const { stones, turn } = this.game.tree.position(at);
    return `${this.game.size}/${stonesText(stones)}/${turn}`;
  }

  /** Looks at every position of the line shown, in one go. */
  async sweep() {
    const { tree, at } = this.game;
    const stopper = new AbortController();
    this.stopper.abort();
    this.stopper = stopper;
    const line = tree.line(at).filter((index) => !this.swept.has(this.#key(index))).slice(0, 400);
    const keys = line.map((index) => this.#key(index));
    if (!line.length) return this.#say("");
    this.#say("looking…");
    try {
      const positions = line.map((index) => tree.asked(index));
      const found = await stream("/api/sweep", { positions }, stopper.signal, (name, message) =>
        this.#say(name === "queued" ? `${message.ahead} others come first` : `${message.done} of ${message.of}`));
      found.results.forEach((/** @type {Swept} */ result, /** @type {number} */ k) => this.swept.set(keys[k], result));
      this.#say("");
    } catch (error) {
      if (!isAbort(error)) this.#say(said(error));
    }
    return undefined;
  }

  /** @param {string} words */
  #say(words) {
    this.words = words;
    this.dispatchEvent(new Event("change"));
  }

  /** Red's chance at a node, by the deepest look there was; null if there was none. @param {number} at */
  chance(at) {
    const { tree } = this.game;
    const { winner, turn, stones } = tree.position(at);
    if (winner) return winner === RED ? 1 : 0;
    const key = `${this.analysis.network}/${this.game.size}/${stonesText(stones)}/${turn}`;
    const found = this.analysis.kept.get(key) ?? this.swept.get(this.#key(at));
    if (!found) return null;
    return turn === RED ? found.value : 1 - found.value;
  }

  /**
   * What a move lost, and what was better; null where that is not known, and of the first stone, which
   * is meant to be fair where the other side may swap. @param {number} at @returns {Judged | null}
   */
  judge(at) {
    const { tree } = this.game;
    const { parent, move } = tree.nodes[at];
    if (parent === null || !move || cellIndex(move.what, tree.size) < 0) return null;
    if (tree.position(parent).stones.every((stone) => stone === 0)) return null;
    const [before, after] = [this.chance(parent), this.chance(at)];
    if (before === null || after === null) return null;
    const loss = colourOf(move.colour) === RED ? before - after : after - before;
    const [, grade, sign] = /** @type {[number, string, string]} */ (GRADES.find(([most]) => loss <= most));
    const moves = this.swept.get(this.#key(parent))?.moves ?? [];
    const own = colourOf(move.colour) === RED ? after : 1 - after;
    const better = moves.filter((seen) => seen.cell !== move.what && seen.value > own + 0.01).slice(0, BETTER);
    return { at, loss, grade, sign, better };
  }

  /** The moves of the line that lost most, in their order. @returns {Judged[]} */
  mistakes() {
    const judged = this.game.tree.line(this.game.at).map((at) => this.judge(at)).filter((found) => found !== null);
    const slips = judged.filter((found) => found.sign).sort((a, b) => b.loss - a.loss).slice(0, MISTAKES);
    return slips.sort((a, b) => this.game.tree.position(a.at).number - this.game.tree.position(b.at).number);
  }

  /** @param {string} format */
  async write(format) {
    return (await post("/api/write", { tree: this.game.tree.data(), format })).text;
  }
}

/**
 * Red's chance over the plies of the line shown; a click goes there.
 * @param {Review} review @param {(at: number) => void} go
 */
export function graph(review, go) {
  const { tree, at } = review.game;
  const line = tree.line(at);
  const slips = line.map((index) => ["mistake", "blunder"].includes(review.judge(index)?.grade ?? ""));
  return curve({ chances: line.map((index) => review.chance(index)), slips, here: line.indexOf(at), recorded: review.recorded }, (k) => go(line[k]));
}

/** A move in words. @param {Review} review @param {number} at */
export function moveName(review, at) {
  const { move, setup } = review.game.tree.nodes[at];
  if (!move) return Object.keys(setup).length ? "set-up" : "start";
  return `${review.game.tree.position(at).number}. ${move.what === "swap-pieces" ? "swap" : move.what}`;
}

/**
 * The moves as buttons, variations indented.
 * @param {Review} review @param {(at: number) => void} go @returns {DocumentFragment}
 */
export function moveList(review, go) {
  const { tree, at } = review.game;
  const fragment = document.createDocumentFragment();
  /** @type {{start: number, into: ParentNode & Node}[]} */
  const waiting = [{ start: 0, into: fragment }];
  while (waiting.length) {
    const { start, into } = /** @type {{start: number, into: ParentNode & Node}} */ (waiting.pop());
    for (let node = start; node !== undefined; node = tree.children[node][0]) {
      into.append(moveButton(review, node, node === at, go));
      const parent = tree.nodes[node].parent;
      if (node === start || parent === null) continue;
      for (const variation of tree.children[parent].slice(1)) {
        const block = document.createElement("div");
        into.append(block);
        waiting.push({ start: variation, into: block });
      }
    }
  }
  return fragment;
}

/** @param {Review} review @param {number} node @param {boolean} isHere @param {(at: number) => void} go */
function moveButton(review, node, isHere, go) {
  const { comment, move } = review.game.tree.nodes[node];
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = moveName(review, node) + (comment ? " …" : "");
  if (move) button.title = capital(colourName(colourOf(move.colour)));
  if (isHere) button.setAttribute("aria-current", "true");
  const judged = review.judge(node);
  if (judged?.sign) {
    const sign = document.createElement("span");
    sign.className = "slip";
    sign.textContent = ` ${judged.sign}`;
    button.append(sign);
  }
  button.addEventListener("click", () => go(node));
  return button;
}
