// @ts-check
/** Review: the course of a game, what its moves lost, its variations and comments. */

import { isAbort, post, said, stream } from "./api.js";
import { curve } from "./graph.js";
import { RED, capital, cellIndex, colourName, colourOf } from "./hex.js";

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
    /** By network and position. @type {Map<string, Swept>} */
    this.swept = new Map();
    /** Red's chances as the game's own search had them, of a game that was recorded. @type {Map<string, number | null>} */
    this.recorded = new Map();
    this.words = "";
    this.stopper = new AbortController();
    game.addEventListener("new", () => {
      this.stopper.abort();
      this.words = "";
      this.recorded = new Map();
    });
  }

  /** @param {number} at */
  #seen(at) {
    return this.swept.get(this.analysis.network + this.game.tree.text(at));
  }

  /** Takes what the search of a recorded game has seen. @param {(number | null)[]} values by ply */
  record(values) {
    const { tree } = this.game;
    tree.line(0).forEach((at, ply) => this.recorded.set(tree.text(at), values[ply] ?? null));
    this.#say("");
  }

  /** Looks at every position of the line shown, in one go. */
  async sweep() {
    const { tree, at } = this.game;
    const stopper = new AbortController();
    this.stopper.abort();
    this.stopper = stopper;
    const line = tree.line(at).filter((index) => !this.#seen(index)).slice(0, 400);
    const texts = line.map((index) => tree.text(index));
    if (!line.length) return this.#say("");
    this.#say("looking…");
    try {
      const positions = line.map((index) => tree.asked(index));
      const found = await stream("/api/sweep", { positions }, stopper.signal, (name, message) =>
        this.#say(name === "queued" ? `${message.ahead} others come first` : `${message.done} of ${message.of}`));
      this.analysis.network = found.network;
      found.results.forEach((/** @type {Swept} */ result, /** @type {number} */ k) => this.swept.set(found.network + texts[k], result));
      this.#say("");
    } catch (error) {
      if (!isAbort(error) && this.stopper === stopper) this.#say(said(error));
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
    const { winner, turn } = tree.position(at);
    if (winner) return winner === RED ? 1 : 0;
    const found = this.analysis.known(tree.text(at)) ?? this.#seen(at);
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
    const moves = this.#seen(parent)?.moves ?? [];
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
  const recorded = review.recorded.size ? line.map((index) => review.recorded.get(tree.text(index)) ?? null) : [];
  return curve({ chances: line.map((index) => review.chance(index)), slips, here: line.indexOf(at), recorded }, (k) => go(line[k]));
}

/** A move in words. @param {Review} review @param {number} at */
export function moveName(review, at) {
  const { move, setup } = review.game.tree.nodes[at];
  if (!move) return Object.keys(setup).length ? "set-up" : "start";
  return `${review.game.tree.position(at).number}. ${move.what === "swap-pieces" ? "swap" : move.what}`;
}

/** Who played, and how it ended, as far as it was written down. @param {import("./tree.js").Tree} tree */
export function whoPlayed({ red, blue, result }) {
  const [, letter, how] = /^([BW])\+(.?)/.exec(result) ?? [];
  const ways = /** @type {Record<string, string>} */ ({ R: " by resignation", T: " on time", F: " by forfeit" });
  const end = letter ? `${letter === "B" ? "Red" : "Blue"} won${ways[how] ?? ""}` : result && `result ${result}`;
  return [red && `Red: ${red}`, blue && `Blue: ${blue}`, end].filter(Boolean).join(" · ");
}

/** Variations of variations are indented up to here; a browser bears no more than some hundred boxes in boxes. */
const DEEPEST = 6;

/** The moves as buttons, variations indented. The buttons live as long as the tree, so that clicks and keys find them. */
export class MoveList {
  /** @param {HTMLElement} host @param {Review} review @param {(at: number) => void} go */
  constructor(host, review, go) {
    this.host = host;
    this.review = review;
    /** @type {import("./tree.js").Node[]} */
    this.nodes = [];
    /** By node, and what they say. @type {HTMLButtonElement[]} */
    this.buttons = [];
    /** @type {string[]} */
    this.texts = [];
    this.here = 0;
    host.addEventListener("click", (event) => {
      const at = this.buttons.findIndex((button) => button.contains(/** @type {Node} */ (event.target)));
      if (at >= 0) go(at);
    });
  }

  draw() {
    const { host, review } = this;
    const { tree, at } = review.game;
    const hadFocus = host.contains(document.activeElement);
    if (tree.nodes !== this.nodes || tree.nodes.length !== this.buttons.length) this.#build(tree);
    this.buttons.forEach((button, node) => this.#dress(button, node));
    this.buttons[this.here]?.removeAttribute("aria-current");
    this.buttons[at].setAttribute("aria-current", "true");
    this.here = at;
    if (hadFocus) this.buttons[at].focus({ preventScroll: true });
    host.scrollTop += this.buttons[at].getBoundingClientRect().top - host.getBoundingClientRect().top - 100;
  }

  /** @param {import("./tree.js").Tree} tree */
  #build(tree) {
    this.nodes = tree.nodes;
    this.texts = [];
    this.buttons = tree.nodes.map(({ move }) => {
      const button = document.createElement("button");
      button.type = "button";
      if (move) button.title = capital(move.colour);
      return button;
    });
    const list = document.createElement("div");
    const waiting = [{ start: 0, into: list, depth: 0 }];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { start, into, depth } = next;
      for (let node = start; node !== undefined; node = tree.children[node][0]) {
        into.append(this.buttons[node]);
        const parent = tree.nodes[node].parent;
        if (node === start || parent === null) continue;
        for (const variation of tree.children[parent].slice(1)) {
          const block = document.createElement("div");
          if (depth < DEEPEST) into.append(block);
          else into.after(block);
          waiting.push({ start: variation, into: block, depth: depth + 1 });
        }
      }
    }
    this.host.replaceChildren(list);
  }

  /** @param {HTMLButtonElement} button @param {number} node */
  #dress(button, node) {
    const { comment } = this.review.game.tree.nodes[node];
    const sign = this.review.judge(node)?.sign;
    const text = moveName(this.review, node) + (comment ? " …" : "");
    if (this.texts[node] === text + sign) return;
    this.texts[node] = text + sign;
    button.replaceChildren(text);
    if (!sign) return;
    const slip = document.createElement("span");
    slip.className = "slip";
    slip.textContent = ` ${sign}`;
    button.append(slip);
  }
}
