// @ts-check
/** The page of one run. */
import { drawBoard } from "./board.js";
import { Tree } from "./tree.js";
import { gamesTable } from "./games_table.js";
import { drawHeat } from "./heat_map.js";
import { plotFrame } from "./plot_frame.js";
import { drawChart, ticks } from "./plots.js";
import { kindOf, progress, stateBadge } from "./runs_table.js";
import { learningCurves } from "./watch_curves.js";
import { followRun } from "./watch_live.js";
import * as parts from "./watch_parts.js";

/** @typedef {import("../types/watch_types.js").View} View */
/** @typedef {import("./plots.js").Chart} Chart */

const { board, button, counted, el, number, percent, section } = parts;
const DOWNLOADS = { parquet: "Parquet", sgf: "SGF", trmph: "TRMPH" };
const NOTHING = { games: 0, trouble: "", board_sizes: [], boards: [], lengths: [], openings: [], ends: {}, rounds: [] };

/** What a damaged run lacks counts as empty. @param {View} view @returns {View} */
const whole = (view) => ({ ...view, ...NOTHING, ...Object.fromEntries(Object.entries(view).filter(([, value]) => value !== null)) });

/** @param {View} view @returns {Chart} */
function lengthChart({ lengths }) {
  const all = lengths.map(([length]) => length);
  const [first, second] = ticks(Math.min(...all), Math.max(...all) + 1, 60, 1);
  const step = second - first;
  const games = new Map();
  for (const [length, count] of lengths) {
    const first = length - (length % step);
    games.set(first, (games.get(first) ?? 0) + count);
  }
  const points = [...games].map(([first, y]) => {
    const range = step > 1 ? `${first} to ${first + step - 1}` : `${first}`;
    return { x: first + (step - 1) / 2, y, text: `${range} plies: ${counted(y, "game")}` };
  });
  return { series: [{ name: "length", points }], bar: step, xLabel: "plies", yLabel: "games" };
}

/** @param {View} view */
function figures({ games, red_share, swap_share, mean_length, ends, network }) {
  const [low, high] = parts.interval(red_share ?? 0, games).map(percent);
  const ended = Object.entries(ends).map(([end, count]) => `${end} ${percent(count / games)}`);
  return parts.factList([
    ["Games", number(games)],
    ["Won by Red, with 95 % interval", red_share == null ? "–" : `${percent(red_share)} (${low} to ${high})`],
    ["Swapped", percent(swap_share)],
    ["Mean length in plies", number(mean_length)],
    ["How games end", ended.join(", ") || "–"],
    ["Network", network?.digest?.slice(0, 12) ?? "–"],
  ]);
}

/** @param {NonNullable<View["rates"]>} rates */
function speeds(rates) {
  return parts.factList([
    ["Games a second", number(rates.games_per_s)],
    ["Moves a second", number(rates.moves_per_s)],
    ["Evaluations a second", number(rates.evaluations_per_s)],
    ["Share of time in the network", percent(rates.efficiency)],
    ["Rows a call of the network", number(rates.mean_batch)],
    ["Hits: answers without a call", percent(rates.hit_rate)],
    ["Time so far", parts.duration(rates.seconds)],
    ["Time to go", parts.duration(rates.eta_s)],
  ]);
}

/** @param {View["boards"][number]} playing */
function playedBoard({ size, moves }) {
  const label = `${board(size)}, ${counted(moves.length, "ply", "plies")}, last ${moves[moves.length - 1] ?? "none"}`;
  const tree = Tree.empty(size);
  const { stones, last } = tree.position(moves.reduce((at, move) => tree.play(at, move), 0));
  return el("figure", {}, drawBoard(size, stones, { label, last }), el("figcaption", {}, label));
}

/** @param {string} name */
function downloads(name) {
  const links = Object.entries(DOWNLOADS).map(([format, text]) =>
    el("a", { href: `/api/runs/download?${new URLSearchParams({ name, format })}`, download: true }, text),
  );
  return section("Download all games", el("p", { class: "watch-top" }, ...links));
}

/** A part that is made anew only when what it shows has changed. @param {HTMLElement} element */
function part(element) {
  let known = "";
  /** @param {unknown} shown @param {() => (Node|string)[]} make */
  const renew = (shown, make) => {
    const said = JSON.stringify(shown);
    if (said !== known) element.replaceChildren(...make());
    known = said;
  };
  return { element, renew };
}

/**
 * @param {HTMLElement} root
 * @param {string} name
 * @param {(run: string, size: number, id: number) => void} openGame
 * @param {() => void} back
 * @returns {() => void} ends it
 */
export function showRun(root, name, openGame, back) {
  /** @type {Map<number, ReturnType<typeof plotFrame<import("../types/watch_types.js").Opening>>>} */
  const heats = new Map();
  /** @type {ReturnType<typeof gamesTable>|null} */
  let games = null;
  let known = -1;
  const head = part(el("p", { class: "watch-top" }));
  const [speed, facts, setup] = [part(el("div")), part(el("div")), part(el("pre"))];
  const live = part(el("div", { class: "watch-boards" }));
  const trouble = el("p", { class: "watch-trouble", role: "alert", hidden: true });
  const status = el("p", { class: "watch-status", role: "status" });
  const [lengths, curves] = [plotFrame("Length of games", drawChart), learningCurves()];
  const plots = el("div", { class: "watch-plots" }, lengths.element);
  const [rates, playing] = [section("Speed", speed.element), section("Being played now", live.element)];
  const table = el("div");
  const more = el("details", {}, el("summary", {}, "Settings and plan"), setup.element);
  const soFar = section("Games so far", facts.element, plots);
  const page = el("div", { hidden: true }, rates, soFar, playing, curves.element, table, downloads(name), more);
  const top = el("div", { class: "watch-top" }, button("← All runs", back), el("h2", { tabindex: -1 }, name));
  root.append(top, head.element, trouble, status, page);

  /** @param {View} view */
  function showGames(view) {
    for (const opening of view.openings) {
      const heat = heats.get(opening.size) ?? plotFrame(`First stones on ${board(opening.size)}`, drawHeat);
      if (!heats.has(opening.size)) plots.append(heat.element);
      heats.set(opening.size, heat);
      heat.update(opening);
    }
    if (!games) {
      games = gamesTable(name, view.board_sizes, openGame);
      table.append(games.element);
    } else if (view.state !== "running" && view.games !== known) games.refresh();
    known = view.games;
  }

  /** @param {View} view */
  function show(view) {
    page.hidden = false;
    if (trouble.textContent !== view.trouble) trouble.textContent = view.trouble;
    trouble.hidden = !view.trouble;
    rates.hidden = !view.rates;
    playing.hidden = !view.boards.length;
    soFar.hidden = !view.games;
    head.renew([view.state, view.games, view.wanted], () => [stateBadge(view), kindOf(view), progress(view)]);
    speed.renew(view.rates, () => (view.rates ? [speeds(view.rates)] : []));
    facts.renew([view.games, view.red_share, view.swap_share, view.mean_length, view.ends], () => [figures(view)]);
    live.renew(view.boards, () => view.boards.map(playedBoard));
    const { settings, plan, network } = view;
    setup.renew({ settings, plan, network }, () => [JSON.stringify({ settings, plan, network }, null, 2)]);
    lengths.update(lengthChart(view));
    curves.update(view);
    showGames(view);
  }

  const end = followRun(name, {
    view: (view) => show(whole(view)),
    status(line, bad = false) {
      status.textContent = line;
      status.classList.toggle("watch-bad", bad);
    },
  });
  return () => {
    end();
    for (const one of [games, lengths, curves, ...heats.values()]) one?.stop();
  };
}
