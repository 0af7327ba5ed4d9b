// @ts-check
/** The game on the board: its tree, and where in it one is. */

import { Tree, movesShown } from "./tree.js";
import { post } from "./api.js";

/** @typedef {import("./hex.js").Colour} Colour */

export class Game extends EventTarget {
  /** Counts what was wanted, so that a late answer is known. */
  #wanted = 0;

  /** @param {number} size */
  constructor(size) {
    super();
    this.tree = Tree.empty(size);
    this.at = 0;
    this.swapRule = true;
    /** Whether a move has led here, and not leafing through the game. */
    this.played = false;
  }

  get size() {
    return this.tree.size;
  }

  get position() {
    return this.tree.position(this.at);
  }

  get node() {
    return this.tree.nodes[this.at];
  }

  /** @param {number} index @param {boolean} [played] */
  go(index, played = false) {
    this.at = index;
    this.played = played;
    this.changed();
  }

  /** Tells everybody. */
  changed() {
    this.forget();
    this.dispatchEvent(new Event("change"));
  }

  /** Whatever is still on its way is not wanted any more. */
  forget() {
    this.#wanted += 1;
  }

  /**
   * An answer of the server; null, and no error, where something else was wanted in the meantime.
   * @param {Promise<any>} coming
   */
  async latest(coming) {
    const number = (this.#wanted += 1);
    try {
      const found = await coming;
      return number === this.#wanted ? found : null;
    } catch (error) {
      if (number === this.#wanted) throw error;
      return null;
    }
  }

  /** @param {Tree} tree @param {number} [at] */
  take(tree, at = 0) {
    this.tree = tree;
    this.at = at;
    this.played = false;
    this.dispatchEvent(new Event("new"));
    this.changed();
  }

  /** @param {number} size */
  begin(size) {
    this.take(Tree.empty(size));
  }

  /** @param {string} what @param {Colour} [colour] @returns {boolean} whether it could be played */
  play(what, colour) {
    const next = this.tree.play(this.at, what, colour);
    if (next >= 0) this.go(next, true);
    return next >= 0;
  }

  /** One step back or forth, or to the start or the end of the line. @param {"back" | "on" | "start" | "end"} where */
  step(where) {
    const { tree, at } = this;
    const line = tree.line(at);
    const place = line.indexOf(at);
    const next = { back: place - 1, on: place + 1, start: 0, end: line.length - 1 }[where];
    if (line[next] !== undefined && line[next] !== at) this.go(line[next]);
  }

  /** To the variation before or after this one. @param {1 | -1} by */
  sideways(by) {
    const { tree, at } = this;
    const parent = tree.nodes[at].parent;
    if (parent === null) return;
    const siblings = tree.children[parent];
    const next = siblings[siblings.indexOf(at) + by];
    if (next !== undefined) this.go(next);
  }

  /** Reads a game in any notation, and goes to where a link points; false if it came too late. @param {string} text */
  async read(text) {
    const data = await this.latest(post("/api/read", { text }));
    if (!data) return false;
    const tree = new Tree(data);
    const isLink = /^[^,(]*#\d+/.test(text.trim());
    const line = tree.line(0);
    const shown = isLink ? movesShown(text.slice(text.indexOf("#"))) : 0;
    this.take(tree, line[Math.min(shown, line.length - 1)]);
    return true;
  }
}
