// @ts-check
/** What the engine thinks of the position on the board. */

import { isAbort, said, stream } from "./api.js";
import { cellIndex, colourName, other } from "./hex.js";

/** @typedef {import("./board.js").Hint} Hint */
/** @typedef {import("./game.js").Game} Game */
/** @typedef {{cell: string, visits: number, value: number | null, policy: number}} MoveSeen */
/**
 * @typedef {{value: number, proven: number, evaluations: number, seconds: number, line: string[],
 *   moves: MoveSeen[], network: string}} Found
 */

/** How deep an analysis goes: what is asked for. @type {Record<string, Record<string, number> | null>} */
export const DEPTHS = {
  off: null,
  quick: { evaluations: 100 },
  deep: { evaluations: 2000 },
  on: { seconds: 60 },
};

/** A move of the policy that is less likely than this is not shown. */
const LEAST_POLICY = 0.015;

/** @param {number} chance */
export const percent = (chance) => `${Math.round(100 * chance)}`;

/** @param {Found} found */
export function inWords(found) {
  if (found.proven > 0) return "proven win";
  if (found.proven < 0) return "proven loss";
  return `${(100 * found.value).toFixed(1)} %`;
}

/** @param {number} evaluations */
export const counted = (evaluations) => `${evaluations} evaluation${evaluations === 1 ? "" : "s"}`;

export class Analysis extends EventTarget {
  /** @param {Game} game */
  constructor(game) {
    super();
    this.game = game;
    this.depth = "off";
    /** Whether the side that is not to move is asked about. */
    this.otherSide = false;
    this.network = "";
    /** @type {Map<string, Found>} */
    this.kept = new Map();
    this.words = "";
    this.busy = false;
    this.stopper = new AbortController();
    game.addEventListener("change", () => this.run());
  }

  /** What is known of the position, or null. */
  get found() {
    const { tree, at, position } = this.game;
    return position.winner ? null : this.known(tree.text(at, this.side));
  }

  /** What the network of now has found, or null. @param {string} text of a position */
  known(text) {
    return this.kept.get(this.network + text) ?? null;
  }

  /** The side that an analysis is for. */
  get side() {
    const { turn } = this.game.position;
    return this.otherSide ? other(turn) : turn;
  }

  stop() {
    this.stopper.abort();
  }

  /** Thinks about the position on the board, as deeply as is wanted, instead of what it was at. */
  async run() {
    this.stop();
    this.words = "";
    const budget = DEPTHS[this.depth];
    const { winner } = this.game.position;
    if (!budget || winner) {
      this.#tell(false);
      return;
    }
    const stopper = new AbortController();
    this.stopper = stopper;
    this.#tell(true);
    const text = this.game.tree.text(this.game.at, this.side);
    const position = { ...this.game.tree.asked(this.game.at), turn: colourName(this.side) };
    try {
      const found = await stream("/api/search", { position, ...budget }, stopper.signal, (name, message) => {
        if (name === "queued") this.words = `${message.ahead} others come first`;
        else this.#keep(text, message);
        if (this.stopper === stopper) this.#tell(true);
      });
      this.#keep(text, found);
    } catch (error) {
      if (!isAbort(error) && this.stopper === stopper) this.words = said(error);
    }
    if (this.stopper === stopper) this.#tell(false);
  }

  /** @param {string} text @param {Found} found */
  #keep(text, found) {
    this.words = "";
    if (found.network !== this.network) {
      this.network = found.network; // the server was started anew with another model
      this.dispatchEvent(new Event("network"));
    }
    const kept = this.known(text);
    if (kept && !found.proven && (kept.proven || kept.evaluations > found.evaluations)) return;
    this.kept.set(this.network + text, found);
    if (this.kept.size > 2000) this.kept.delete(/** @type {string} */ (this.kept.keys().next().value));
  }

  /** @param {boolean} busy */
  #tell(busy) {
    this.busy = busy;
    this.dispatchEvent(new Event("change"));
  }

  /** Hints for the cells of the board. @param {{policy: boolean, values: boolean}} shown @returns {Map<number, Hint>} */
  hints(shown) {
    /** @type {Map<number, Hint>} */
    const hints = new Map();
    const { found } = this;
    if (!found || this.game.position.winner) return hints;
    for (const move of found.moves) {
      const hint = this.#hint(move, found, shown);
      if (hint) hints.set(cellIndex(move.cell, this.game.size), hint);
    }
    return hints;
  }

  /** @param {MoveSeen} move @param {Found} found @param {{policy: boolean, values: boolean}} shown @returns {Hint | null} */
  #hint(move, found, shown) {
    const best = move.cell === found.line[0];
    const seen = shown.values && move.value !== null && (move.visits > 0 || best);
    const likely = shown.policy && move.policy >= LEAST_POLICY;
    if (!seen && !likely) return null;
    const policy = likely ? percent(move.policy) : "";
    if (!seen || move.value === null) return { text: policy, heat: Math.sqrt(move.policy), best, kind: "policy" };
    const sure = move.value === 0 || move.value === 1;
    return {
      text: sure ? (move.value ? "win" : "loss") : percent(move.value), small: policy || undefined,
      heat: move.value, best, kind: sure ? "proven" : "value",
    };
  }

  /** In a line: chance, depth, speed, and what is expected to be played. */
  get summary() {
    const { found } = this;
    if (this.words) return this.words;
    if (!found) return this.busy ? "thinking…" : "";
    const rate = found.seconds > 0.2 ? `, ${Math.round(found.evaluations / found.seconds)} a second` : "";
    return `${colourName(this.side)}: ${inWords(found)}, ${counted(found.evaluations)}${rate}: ` +
      found.line.slice(0, 8).join(" ");
  }
}
