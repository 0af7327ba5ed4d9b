// @ts-check
/** A game with variations, and its positions. */

import { BLUE, RED, cellIndex, cellName, chainOf, colourName, colourOf, mirrored, other, stonesText } from "./hex.js";

/** @typedef {import("./hex.js").Colour} Colour */
/** @typedef {import("./hex.js").ColourName} ColourName */
/** @typedef {{colour: ColourName, what: string}} Move */
/** @typedef {{kind: string, cell: string, text: string}} Mark */
/**
 * @typedef {{parent: number | null, move: Move | null, setup: Record<string, ColourName | "empty">,
 *   turn: ColourName | null, comment: string, marks: Mark[], other: [string, string[]][]}} Node
 */
/**
 * @typedef {{size: number, red: string, blue: string, result: string, nodes: Node[], note: string}} TreeData
 */
/**
 * A position: `last` is the cell of the last move or -1; `winner` joined or was given the game;
 * `chain` is what joined; `number` counts moves.
 * @typedef {{stones: number[], turn: Colour, last: number, winner: Colour | 0, chain: number[],
 *   number: number, swapped: boolean, inTurn: boolean, text?: string}} Position
 */

/** @returns {Node} */
const blank = () => ({ parent: null, move: null, setup: {}, turn: null, comment: "", marks: [], other: [] });

export const SWAP = "swap-pieces";

/** A token of a HexWorld link. */
const TOKEN = /[a-z]+[1-9][0-9]*|:s|:S|:p|:[rf][bw]/g;

export class Tree {
  /** @param {TreeData} data */
  constructor(data) {
    this.size = data.size;
    this.red = data.red ?? "";
    this.blue = data.blue ?? "";
    this.result = data.result ?? "";
    this.note = data.note ?? "";
    this.nodes = data.nodes;
    /** @type {number[][]} */
    this.children = [];
    /** @type {(Position | undefined)[]} */
    this.positions = [];
    this.#link();
  }

  /** @param {number} size */
  static empty(size) {
    return new Tree({ size, red: "", blue: "", result: "", note: "", nodes: [blank()] });
  }

  #link() {
    this.children = this.nodes.map(() => []);
    this.positions = [];
    this.nodes.forEach((node, index) => {
      if (node.parent !== null) this.children[node.parent].push(index);
    });
  }

  /** @returns {TreeData} */
  data() {
    const { size, red, blue, result, note, nodes } = this;
    return { size, red, blue, result, note, nodes };
  }

  /** The nodes from the root to one. @param {number} index @returns {number[]} */
  path(index) {
    const path = [];
    for (let at = /** @type {number | null} */ (index); at !== null; at = this.nodes[at].parent) path.push(at);
    return path.reverse();
  }

  /** The path to a node, and on from it by first children. @param {number} index */
  line(index) {
    const line = this.path(index);
    for (let at = index; this.children[at].length; ) {
      at = this.children[at][0];
      line.push(at);
    }
    return line;
  }

  /** @param {number} index @returns {Position} */
  position(index) {
    const known = this.positions[index];
    if (known) return known;
    const path = this.path(index);
    let from = path.length - 1;
    while (from >= 0 && !this.positions[path[from]]) from -= 1;
    for (const at of path.slice(from + 1)) this.positions[at] = this.#after(at);
    return /** @type {Position} */ (this.positions[index]);
  }

  /** @param {number} index @returns {Position} */
  #after(index) {
    const { parent, move, setup, turn } = this.nodes[index];
    const before = parent === null ? null : this.positions[parent];
    /** @type {Position} */
    const position = before
      ? { ...before, stones: [...before.stones], last: -1, text: undefined }
      : { stones: Array(this.size ** 2).fill(0), turn: RED, last: -1, winner: 0, chain: [], number: 0,
          swapped: false, inTurn: true };
    if (move) this.#play(position, move);
    if (Object.keys(setup).length) Object.assign(position, { winner: 0, chain: [] });
    for (const [name, colour] of Object.entries(setup)) {
      position.stones[cellIndex(name, this.size)] = colour === "empty" ? 0 : colourOf(colour);
      position.inTurn = false;
    }
    if (turn) {
      position.inTurn = position.inTurn && colourOf(turn) === position.turn;
      position.turn = colourOf(turn);
    }
    this.#judge(position, move);
    return position;
  }

  /** @param {Position} position @param {Move} move */
  #play(position, move) {
    const colour = colourOf(move.colour);
    position.inTurn = position.inTurn && colour === position.turn;
    position.number += 1;
    position.turn = other(colour);
    const cell = cellIndex(move.what, this.size);
    if (cell >= 0) {
      position.stones[cell] = colour;
      position.last = cell;
    } else if (move.what === SWAP) {
      position.stones = mirrored(position.stones, this.size);
      position.last = position.stones.findIndex((stone) => stone !== 0);
      position.swapped = true;
    } else if (move.what !== "pass") {
      position.turn = colour; // after swap-sides too, when the players have changed colours
      position.swapped ||= move.what === "swap-sides";
    }
  }

  /** @param {Position} position @param {Move | null} move */
  #judge(position, move) {
    for (const colour of [RED, BLUE]) {
      const chain = chainOf(position.stones, this.size, colour);
      if (chain.length) Object.assign(position, { winner: colour, chain });
    }
    const gaveUp = move && ["resign", "forfeit"].includes(move.what);
    if (gaveUp && !position.winner) position.winner = other(colourOf(move.colour));
  }

  /** The position as a text, to keep by what is known of it. @param {number} index @param {Colour} [turn] */
  text(index, turn) {
    const position = this.position(index);
    position.text ??= `/${this.size}/${stonesText(position.stones)}/`;
    return position.text + (turn ?? position.turn);
  }

  /** Which move put a stone on a cell. @param {number} index */
  orders(index) {
    /** @type {Map<number, number>} */
    const orders = new Map();
    for (const at of this.path(index)) {
      const { last, number } = this.position(at);
      const { move, setup } = this.nodes[at];
      if (move?.what === SWAP) orders.clear();
      if (last >= 0) orders.set(last, number);
      for (const name of Object.keys(setup)) orders.delete(cellIndex(name, this.size));
    }
    return orders;
  }

  /** May the side to move swap? @param {number} index */
  maySwap(index) {
    const { stones, turn, swapped, winner } = this.position(index);
    const alone = stones.filter((stone) => stone !== 0);
    return turn === BLUE && !swapped && !winner && alone.length === 1 && alone[0] === RED;
  }

  /** A position as the server wants it. @param {number} index @param {boolean} withSwap */
  asked(index, withSwap = false) {
    const position = this.position(index);
    const swap = withSwap && (this.maySwap(index) || position.stones.every((stone) => stone === 0));
    return { size: this.size, stones: stonesText(position.stones), turn: colourName(position.turn), swap };
  }

  /**
   * The node after a move; made if it is not there. -1 where it cannot be played.
   * @param {number} index @param {string} what @param {Colour} [colour]
   */
  play(index, what, colour) {
    const position = this.position(index);
    const cell = cellIndex(what, this.size);
    if (position.winner || (cell >= 0 && position.stones[cell])) return -1;
    const move = { colour: colourName(colour ?? position.turn), what };
    const known = this.children[index].find((child) => {
      const made = this.nodes[child].move;
      return made && made.what === move.what && made.colour === move.colour;
    });
    return known ?? this.#add(index, { ...blank(), move });
  }

  /** @param {number} parent @param {Node} node */
  #add(parent, node) {
    this.nodes.push({ ...node, parent });
    this.children.push([]);
    this.children[parent].push(this.nodes.length - 1);
    return this.nodes.length - 1;
  }

  /** Puts a stone there by hand, in a node without a move. @param {number} index @param {number} cell @param {number} stone */
  setUp(index, cell, stone) {
    const node = this.nodes[index].move ? this.#add(index, blank()) : index;
    this.nodes[node].setup[cellName(cell, this.size)] = stone ? colourName(stone) : "empty";
    this.positions = [];
    return node;
  }

  /** Takes a node out, with all that comes after it. The node before it. @param {number} index */
  remove(index) {
    const parent = this.nodes[index].parent;
    if (parent === null) return 0;
    /** @type {boolean[]} */
    const kept = [];
    /** @type {number[]} */
    const place = [];
    let count = 0;
    this.nodes.forEach((node, at) => {
      kept[at] = at !== index && (node.parent === null || kept[node.parent]);
      place[at] = count;
      if (kept[at]) count += 1;
    });
    this.nodes = this.nodes.filter((_, at) => kept[at])
      .map((node) => ({ ...node, parent: node.parent === null ? null : place[node.parent] }));
    this.#link();
    return place[parent];
  }

  /** Makes the line through a node the main line. @param {number} index */
  promote(index) {
    for (const at of this.path(index)) {
      const parent = this.nodes[at].parent;
      if (parent === null) continue;
      const others = this.children[parent].filter((child) => child !== at);
      this.children[parent] = [at, ...others];
    }
    return this.#reorder(index);
  }

  /** Writes the nodes anew in the order of the children. @param {number} index */
  #reorder(index) {
    const order = [0];
    const waiting = [...this.children[0]].reverse();
    while (waiting.length) {
      const at = /** @type {number} */ (waiting.pop());
      order.push(at);
      waiting.push(...[...this.children[at]].reverse());
    }
    /** @type {number[]} */
    const place = [];
    order.forEach((at, k) => { place[at] = k; });
    this.nodes = order.map((at) => {
      const node = this.nodes[at];
      return { ...node, parent: node.parent === null ? null : place[node.parent] };
    });
    this.#link();
    return place[index];
  }

  /** The game up to a node, and the rest of its line, as a fragment of HexWorld; "" if it has none. @param {number} index */
  fragment(index) {
    const line = this.line(index);
    if (!this.position(line[line.length - 1]).inTurn) return "";
    const tokens = line.map((at) => this.#token(at));
    const shown = this.path(index).length;
    const ahead = tokens.slice(shown).join("");
    return `#${this.size}c1,${tokens.slice(0, shown).join("")}${ahead && `,${ahead}`}`;
  }

  /** @param {number} index */
  #token(index) {
    const move = this.nodes[index].move;
    if (!move) return "";
    const words = new Map([[SWAP, ":s"], ["swap-sides", ":S"], ["pass", ":p"]]);
    const ends = new Map([["resign", ":r"], ["forfeit", ":f"]]);
    const end = ends.get(move.what);
    if (end) return end + (move.colour === "red" ? "b" : "w");
    return words.get(move.what) ?? move.what;
  }
}

/** How many moves a fragment shows, of those it holds. @param {string} fragment */
export function movesShown(fragment) {
  return (fragment.split(",")[1] ?? "").match(TOKEN)?.length ?? 0;
}
