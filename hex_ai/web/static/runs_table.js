// @ts-check
/** The list of runs; asks again every few seconds while one of them runs and the page is seen. */
import { ask, board, button, counted, el, number, reason, row, table } from "./watch_parts.js";

/** @typedef {import("../types/watch_types.js").Run} Run */

const PAUSE = 5;
const LONG_PAUSE = 30;
const SIGNS = { running: "●", complete: "✓", stopped: "■", damaged: "⚠" };

/** @param {Run} run */
export const kindOf = ({ kind }) => (kind === "learn" ? "learning" : "self-play");

/** @param {Run} run */
export const stateBadge = ({ state }) =>
  el("span", { class: `watch-state state-${state}` }, `${SIGNS[state] ?? ""} ${state}`);

/** @param {Run} run */
export function progress({ games, wanted }) {
  const words = wanted == null ? counted(games, "game") : `${number(games)} of ${counted(wanted, "game")}`;
  const bar = wanted ? [el("progress", { max: wanted, value: games, "aria-label": words })] : [];
  return el("span", { class: "watch-progress" }, words, ...bar);
}

/** @param {Run} run @param {(name: string) => void} open */
function runRow(run, open) {
  const head = el("div", {}, button(run.name, () => open(run.name), { class: "watch-link" }));
  if (run.trouble) head.append(el("p", { class: "watch-trouble" }, run.trouble));
  const changed = new Date(1000 * run.changed).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return row(head, [stateBadge(run), kindOf(run), progress(run), run.board_sizes.map(board).join(", ") || "–", changed]);
}

/**
 * @param {HTMLElement} root
 * @param {(name: string) => void} open
 * @returns {() => void} ends it
 */
export function showRuns(root, open) {
  let timer = 0;
  let known = "";
  let running = false;
  let asked = new AbortController();
  const status = el("p", { role: "status", class: "watch-status" }, "Looking for runs…");
  const body = el("tbody");
  const list = table("Runs", ["Run", "State", "Kind", "Games", "Boards", "Changed"], body);
  list.classList.add("watch-runs");
  list.hidden = true;
  root.append(el("div", { class: "watch-top" }, el("h2", { tabindex: -1 }, "Runs"), button("Look again", load)), status, list);

  /** @param {Run[]} runs */
  function fill(runs) {
    status.textContent = runs.length ? "" : "There are no runs in this folder yet.";
    list.hidden = !runs.length;
    if (JSON.stringify(runs) === known) return;
    known = JSON.stringify(runs);
    const focused = [...body.rows].findIndex((line) => line.contains(document.activeElement));
    const name = body.rows[focused]?.querySelector("button")?.textContent;
    body.replaceChildren(...runs.map((run) => runRow(run, open)));
    if (name) body.rows[runs.findIndex((run) => run.name === name)]?.querySelector("button")?.focus();
  }

  async function load() {
    rest();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const { runs } = /** @type {{runs: Run[]}} */ (await ask("/api/runs", {}, signal));
      if (signal.aborted) return;
      fill(runs);
      running = runs.some((run) => run.state === "running");
      later(PAUSE);
    } catch (error) {
      if (signal.aborted) return;
      status.textContent = `No news of the runs: ${reason(error)}.`;
      later(LONG_PAUSE);
    }
  }

  /** @param {number} seconds */
  function later(seconds) {
    if (running && !document.hidden) timer = setTimeout(load, 1000 * seconds);
  }

  function rest() {
    clearTimeout(timer);
    asked.abort();
  }

  const turn = () => (document.hidden ? rest() : load());
  document.addEventListener("visibilitychange", turn);
  load();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    rest();
  };
}
