// @ts-check
/** Playing: whoever sits at the board, people or the engine, and series of games of the engine. */

import { isAbort, said, stream } from "./api.js";
import { RED, capital, cellName, colourName, other } from "./hex.js";
import { SWAP, Tree } from "./tree.js";
import { counted, inWords } from "./analysis.js";

/** @typedef {import("./game.js").Game} Game */
/** @typedef {import("./hex.js").Colour} Colour */

export const YOU = "you";

/** @param {string} player as `level:5`, `seconds:1` or `evaluations:200` @returns {Record<string, number>} */
function budgetOf(player) {
  const [name, number] = player.split(":");
  return { [name]: Number(number) };
}

/** The interval in which a share lies with 95 % certainty (Wilson). @param {number} won @param {number} of */
export function interval(won, of) {
  const z = 1.96;
  const share = won / of;
  const middle = (share + (z * z) / (2 * of)) / (1 + (z * z) / of);
  const reach = (z / (1 + (z * z) / of)) * Math.sqrt((share * (1 - share)) / of + (z * z) / (4 * of * of));
  return [Math.max(0, middle - reach), Math.min(1, middle + reach)];
}

export class Play extends EventTarget {
  /** @param {Game} game */
  constructor(game) {
    super();
    this.game = game;
    /** Whether the engine answers: only while this view is looked at. */
    this.active = false;
    /** @type {Record<string, string>} */
    this.players = { red: YOU, blue: "level:5" };
    this.words = "";
    /** What the engine says of its thinking. */
    this.details = "";
    this.thinking = false;
    this.stopper = new AbortController();
    /** @type {{of: number, done: number, won: number, first: string, second: string, opening: string, tree: Tree | null} | null} */
    this.series = null;
    game.addEventListener("change", () => this.answer());
    game.addEventListener("new", () => {
      if (this.series?.tree !== game.tree) this.series = null;
      this.stop();
    });
  }

  /** @param {Colour} colour */
  isEngine(colour) {
    return this.players[colourName(colour)] !== YOU;
  }

  get isYourTurn() {
    const { winner, turn } = this.game.position;
    return !winner && !this.isEngine(turn) && !this.thinking;
  }

  get maySwap() {
    return this.game.swapRule && this.game.tree.maySwap(this.game.at) && (!this.active || this.isYourTurn);
  }

  /** Whether it is the engine's turn, and the engine waits to be asked: it was stopped, or has moved on from here. */
  get waits() {
    const { winner, turn } = this.game.position;
    return this.active && !winner && this.isEngine(turn) && !this.thinking;
  }

  /** @param {string} red @param {string} blue */
  seat(red, blue) {
    this.players = { red, blue };
    this.stopSeries();
    this.answer();
  }

  /** Has the engine move here, even where the game goes on already. */
  ask() {
    this.game.played = true;
    this.answer();
  }

  stop() {
    this.stopper.abort();
    this.thinking = false;
    this.words = this.details = "";
    this.#tell();
  }

  /** Has the engine move, where it is its turn and the game goes on from here. */
  async answer() {
    const { game } = this;
    const { winner, turn } = game.position;
    this.stopper.abort();
    this.thinking = false;
    this.details = "";
    if (winner && this.series && this.active) this.#count(winner);
    if (!this.waits || (game.tree.children[game.at].length && !game.played)) {
      this.words = "";
      this.#tell();
      return;
    }
    const stopper = new AbortController();
    this.stopper = stopper;
    this.thinking = true;
    this.words = `${capital(colourName(turn))} thinks…`;
    this.#tell();
    try {
      await this.#think(stopper.signal, turn);
    } catch (error) {
      if (!isAbort(error) && this.stopper === stopper) {
        this.thinking = false;
        this.details = "";
        this.words = said(error);
        this.#tell();
      }
    }
  }

  /** @param {AbortSignal} signal @param {Colour} turn */
  async #think(signal, turn) {
    const { game } = this;
    const name = colourName(turn);
    const position = game.tree.asked(game.at, game.swapRule);
    const asked = { position, play: true, ...budgetOf(this.players[name]) };
    const found = await stream("/api/search", asked, signal, (kind, message) => {
      this.details = kind === "queued"
        ? `${message.ahead} others come first`
        : `${inWords(message)}, ${counted(message.evaluations)}, ` +
          `${Math.round(message.evaluations / Math.max(message.seconds, 0.01))} a second: ` +
          message.line.slice(0, 6).join(" ");
      this.#tell();
    });
    this.thinking = false;
    game.play(found.move);
  }

  swap() {
    if (this.maySwap) this.game.play(SWAP);
  }

  resign() {
    if (this.isYourTurn) this.game.play("resign");
  }

  /** Back to where a person last moved. */
  undo() {
    this.stop();
    const { game } = this;
    const path = game.tree.path(game.at);
    for (const at of path.reverse().slice(1)) {
      if (!this.isEngine(game.tree.position(at).turn) || game.tree.nodes[at].parent === null) {
        game.go(at);
        return;
      }
    }
  }

  redo() {
    const { game } = this;
    const line = game.tree.line(game.at);
    const later = line.slice(line.indexOf(game.at) + 1);
    const next = later.find((at) => !this.isEngine(game.tree.position(at).turn)) ?? later[later.length - 1];
    if (next !== undefined) game.go(next);
  }

  /** Games of the engine against itself, colours in turn. @param {number} of */
  startSeries(of) {
    const { red, blue } = this.players;
    this.series = { of, done: 0, won: 0, first: red, second: blue, opening: "", tree: null };
    this.#nextGame();
  }

  /** Two games begin with each stone, drawn by chance: engines that draw no moves would repeat themselves. */
  #nextGame() {
    const { series, game } = this;
    if (!series) return;
    if (series.done % 2 === 0) series.opening = cellName(Math.floor(Math.random() * game.size ** 2), game.size);
    series.tree = Tree.empty(game.size);
    game.take(series.tree, series.tree.play(0, series.opening));
  }

  stopSeries() {
    this.series = null;
    this.stop();
  }

  /** @param {Colour} winner */
  #count(winner) {
    const { series } = this;
    if (!series || series.done === series.of) return;
    const firstIsRed = series.done % 2 === 0;
    series.won += (winner === RED) === firstIsRed ? 1 : 0;
    series.done += 1;
    if (series.done === series.of) return;
    const [red, blue] = series.done % 2 ? [series.second, series.first] : [series.first, series.second];
    this.players = { red, blue };
    queueMicrotask(() => this.#nextGame());
  }

  get score() {
    const { series } = this;
    if (!series) return "";
    const { done, of, won, first, second } = series;
    const names = `${first.replace(":", " ")} against ${second.replace(":", " ")}`;
    if (!done) return `${names}: game 1 of ${of}`;
    const [low, high] = interval(won, done).map((share) => Math.round(100 * share));
    return `${names}: won ${won} of ${done}, ${Math.round((100 * won) / done)} % (${low} to ${high})` +
      (done < of ? `, game ${done + 1} of ${of}` : "");
  }

  /** Who moves, or who has won, in a line. */
  get status() {
    const { winner, turn, chain, swapped } = this.game.position;
    if (winner) return `${capital(colourName(winner))} wins${chain.length ? "" : " by resignation"}`;
    const note = swapped && this.game.node.move?.what === SWAP ? "Swapped. " : "";
    const yours = this.active && this.isYourTurn && this.isEngine(other(turn));
    return note + (this.words || `${capital(colourName(turn))} to move${yours ? " - your turn" : ""}`);
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
