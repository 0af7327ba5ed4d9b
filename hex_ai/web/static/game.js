// @ts-check
/** The game on the board: its tree, and where in it one is. */

import { Tree, movesShown } from "./tree.js";
import { post } from "./api.js";

/** @typedef {import("./hex.js").Colour} Colour */

export class Game extends EventTarget {
  /** @param {number} size */
  constructor(size) {
    super();
    this.tree = Tree.empty(size);
    this.at = 0;
    /** Set as long as the players' order of moves is held, as the engine thinks. */
    this.swapRule = true;
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

  /** @param {number} index */
  go(index) {
    this.at = index;
    this.changed();
  }

  /** Tells everybody. */
  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Tree} tree @param {number} [at] */
  take(tree, at = 0) {
    this.tree = tree;
    this.at = at;
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
    if (next >= 0) this.go(next);
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

  /** Reads a game in any notation, and goes to where a link points. @param {string} text */
  async read(text) {
    const tree = new Tree(await post("/api/read", { text }));
    const isLink = /^[^,(]*#\d+/.test(text.trim());
    const line = tree.line(0);
    const shown = isLink ? movesShown(text.slice(text.indexOf("#"))) : 0;
    this.take(tree, line[Math.min(shown, line.length - 1)]);
  }
}
