// @ts-check
/** All games of a run: search, pages, and a way to each game. */
import { ask, board, button, counted, el, number, percent, reason, row, section, table } from "./watch_parts.js";

/** @typedef {import("../types/watch_types.js").Game} Game */
/** @typedef {[value: string, text: string][]} Choices */

const PAGE = 25;
const HEADS = ["Game", "Board", "Plies", "Winner", "End", "Opening", "Swapped", "Winner's lowest chance", "Network"];
/** @type {Choices} */
const CHANCES = [["0.5", "at most 50 %"], ["0.25", "at most 25 %"], ["0.1", "at most 10 %"]];

/** @param {string} label @param {HTMLElement} field */
const labelled = (label, field) => el("label", {}, el("span", {}, label), field);

/** @param {string} label @param {string} name @param {Choices} choices */
function select(label, name, choices) {
  const options = [["", "any"], ...choices].map(([value, text]) => el("option", { value }, text));
  return labelled(label, el("select", { name }, ...options));
}

/** @param {number[]} sizes */
function fields(sizes) {
  const cell = { placeholder: "such as a2", pattern: "\\s*[A-Za-z]{1,2}[0-9]{1,2}\\s*", autocomplete: "off" };
  const count = { type: "number", min: 1 };
  return [
    select("Board", "size", sizes.map((size) => [`${size}`, board(size)])),
    labelled("Opening", el("input", { name: "opening", ...cell })),
    labelled("Plies from", el("input", { name: "min_length", ...count })),
    labelled("Plies to", el("input", { name: "max_length", ...count })),
    select("Winner", "winner", [["red", "Red"], ["blue", "Blue"]]),
    select("End", "end", ["join", "proven", "resign"].map((end) => [end, end])),
    select("Upset: the winner's lowest chance", "upset", CHANCES),
  ];
}

/** @param {Game} game @param {() => void} open */
function gameRow({ id, size, length, winner, end, opening, swapped, upset, network }, open) {
  const won = el("span", { class: `watch-${winner}` }, winner === "red" ? "Red" : "Blue");
  const by = el("code", { title: network }, network.slice(0, 8));
  const cells = [board(size), `${length}`, won, end, opening, swapped ? "yes" : "no", percent(upset), by];
  const link = el("button", { type: "button", class: "watch-link", "aria-label": `Open game ${id}` }, `${id}`);
  return row(link, cells, { class: "watch-row", click: open });
}

/**
 * @param {string} name of the run
 * @param {number[]} sizes its board sizes
 * @param {(run: string, size: number, id: number) => void} openGame
 */
export function gamesTable(name, sizes, openGame) {
  let start = 0;
  let asked = new AbortController();
  const status = el("p", { role: "status", class: "watch-status" });
  const body = el("tbody");
  const list = table("Games", HEADS, body);
  const [back, on] = [button("Previous page", () => load(start - PAGE)), button("Next page", () => load(start + PAGE))];
  const buttons = [el("button", { type: "submit" }, "Search"), el("button", { type: "reset" }, "Show all")];
  const form = el("form", { class: "watch-form", submit: search, reset: () => setTimeout(load) }, ...fields(sizes), ...buttons);

  /** @param {Event} event */
  function search(event) {
    event.preventDefault();
    load();
  }

  function wanted() {
    const words = [...new FormData(form)].map(([key, value]) => [key, `${value}`.trim().toLowerCase()]);
    return Object.fromEntries(words.filter(([, value]) => value));
  }

  async function load(from = 0) {
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const query = { name, ...wanted(), start: from, count: PAGE };
      const { total, games } = /** @type {{total: number, games: Game[]}} */ (await ask("/api/runs/games", query, signal));
      if (signal.aborted) return;
      start = from;
      body.replaceChildren(...games.map((game) => gameRow(game, () => openGame(name, game.size, game.id))));
      const range = `${number(start + 1)} to ${number(start + games.length)} of ${counted(total, "game")}.`;
      status.textContent = total ? range : "There are no such games.";
      list.hidden = !games.length;
      back.disabled = !start;
      on.disabled = start + games.length >= total;
    } catch (error) {
      if (!signal.aborted) status.textContent = `No games to show: ${reason(error)}.`;
    }
  }

  load();
  const element = section("Games", form, status, list, el("div", { class: "watch-pages" }, back, on));
  return { element, refresh: () => load(start), stop: () => asked.abort() };
}
