// @ts-check
/** What a run of learning came to: curves over its rounds, its ladder, and whose games are whose. */
import { plotFrame } from "./plot_frame.js";
import { drawChart } from "./plots.js";
import { board, el, number, row, section, table } from "./watch_parts.js";

/** @typedef {import("../types/watch_types.js").View} View */
/** @typedef {import("../types/watch_types.js").Round} Round */
/** @typedef {import("../types/watch_types.js").Ladder} Ladder */
/** @typedef {import("./plots.js").Chart} Chart */
/** @typedef {"games"|"samples"|"evaluations"|"hours"} Over */
/** @typedef {(round: Round, before?: Round) => number} Value */

const MAKERS = "Which network made which games, the newest first";
const SHARE = "share of moves";
const HEADS = ["Round", "Network", "Board", "Games of the run"];

/** Title, what is drawn, and its value in a round. @type {[string, string, Value][]} */
const CURVES = [
  ["Loss of the policy", "nats above the target's own", (round) => round.policy_loss],
  ["Loss of the value", "squared error", (round) => round.value_loss],
  ["Entropy of the target", "nats", (round) => round.entropy],
  ["Moves that were the policy's favourite", SHARE, (round) => round.agreement],
  ["Mean length of games", "plies", (round) => round.mean_length],
  ["Throughput, play and learning together", "games a second", speed],
  ["Learning rate", "rate", (round) => round.learning_rate],
];

/** @type {Value} */
function speed(round, before) {
  return (round.games - (before?.games ?? 0)) / (round.seconds - (before?.seconds ?? 0));
}

/** @param {import("../types/watch_types.js").Spent} spent @param {Over} over */
const at = (spent, over) => (over === "hours" ? spent.seconds / 3600 : spent[over]);

/** @param {Round[]} rounds @param {Over} over @param {string} yLabel @param {Value} value @returns {Chart} */
function roundsChart(rounds, over, yLabel, value) {
  const points = rounds.map((round, k) => ({ size: round.board_size, x: at(round, over), y: value(round, rounds[k - 1]) }));
  const sizes = [...new Set(rounds.map((round) => round.board_size))].sort((a, b) => a - b);
  const series = sizes.map((size) => ({ name: board(size), points: points.filter((point) => point.size === size) }));
  return { series, xLabel: over, yLabel, share: yLabel === SHARE };
}

/** @param {Ladder} ladder @param {Over} over @returns {Chart} */
function ladderChart({ rungs = [], opponents = [] }, over) {
  const points = rungs.map((rung) => ({ x: at(rung, over), y: rung.elo, spread: rung.spread }));
  const levels = opponents.map(({ name, elo, spread }) => ({ name, y: elo, spread }));
  return { series: [{ name: "checkpoints", points }], levels, xLabel: over, yLabel: "Elo above the first" };
}

/** @param {Ladder} ladder */
function ladderTitle({ board_size, search_widths = [], openings = "" }) {
  const search = search_widths.length ? `search of widths ${search_widths.join(", ")}` : "policy alone";
  return `Elo on ${board(board_size)}, ${search}, openings ${openings.split(/[\\/]/).pop()}`;
}

/** Of a long run the server leaves out rounds, so that where a network began may be unknown. @param {Round[]} rounds */
function makersTable(rounds) {
  const rows = rounds.map(({ number: round, network, board_size, games }, k) => {
    const before = rounds[k - 1] ?? { number: 0, games: 0 };
    const from = round === before.number + 1 ? number(before.games + 1) : "…";
    return row(`${round}`, [el("code", { title: network }, network?.slice(0, 12) ?? "–"), board(board_size), `${from} to ${number(games)}`]);
  });
  return table(MAKERS, HEADS, el("tbody", {}, ...rows.reverse()));
}

/** @returns {{element: HTMLElement, update(view: View): void, stop(): void}} */
export function learningCurves() {
  /** @type {View|null} */
  let view = null;
  let known = "";
  const options = ["games", "samples", "evaluations", "hours"].map((name) => el("option", {}, name));
  const over = el("select", { change: draw }, ...options);
  const elo = plotFrame("Elo", drawChart);
  const curves = CURVES.map(([title]) => plotFrame(title, drawChart));
  const plots = el("div", { class: "watch-plots" }, ...[elo, ...curves].map((plot) => plot.element));
  const networks = el("div");
  const makersBox = el("details", {}, el("summary", {}, MAKERS), networks);
  const drawn = section("Learning", el("label", {}, "Curves over ", over), plots, makersBox);

  function draw() {
    if (!view) return;
    const [{ rounds, ladder }, along] = [view, /** @type {Over} */ (over.value)];
    if (ladder) elo.update(ladderChart(ladder, along), ladderTitle(ladder));
    CURVES.forEach(([, label, value], k) => curves[k].update(roundsChart(rounds, along, label, value)));
    drawn.hidden = !rounds.length && !ladder;
  }

  return {
    element: drawn,
    update(next) {
      const said = JSON.stringify([next.rounds, next.ladder]);
      if (said === known) return;
      [known, view] = [said, next];
      draw();
      networks.replaceChildren(makersTable(next.rounds));
    },
    stop: () => [elo, ...curves].forEach((plot) => plot.stop()),
  };
}
