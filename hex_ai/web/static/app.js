// @ts-check
/** The page: views, controls and keys. */

import { get, said } from "./api.js";
import { Analysis, percent } from "./analysis.js";
import { BoardView } from "./board.js";
import { Game } from "./game.js";
import { cellIndex, cellName, colourName, colourOf, RED } from "./hex.js";
import { Play, YOU } from "./play.js";
import { Review, graph, moveList, moveName } from "./review.js";
import { Tree } from "./tree.js";
import { startWatch } from "./watch.js";

const SIZES = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
const BEST = 8;
const STONES = ["red", "blue", "empty"];

/** @param {string} id @returns {any} */
const by = (id) => document.getElementById(id);

/** @param {string} id @param {string} event @param {(event: any) => void} then */
const when = (id, event, then) => by(id).addEventListener(event, then);

const game = new Game(11);
const analysis = new Analysis(game);
const play = new Play(game);
const review = new Review(game, analysis);
const board = new BoardView(by("board"), chosen);
let view = "play";
/** @type {{stop(): void, show(name: string): void} | null} */
let watching = null;

/** @param {number} cell */
function chosen(cell) {
  const name = cellName(cell, game.size);
  const tool = view === "review" ? by("tool").value : "play";
  if (tool === "play") {
    if (view === "play" && !play.isYourTurn) return;
    game.play(name);
  } else if (STONES.includes(tool)) {
    const stone = tool === "empty" ? 0 : colourOf(tool);
    game.go(game.tree.setUp(game.at, cell, stone));
  } else {
    mark(name, tool);
  }
}

/** Puts a mark on a cell, or takes it off. @param {string} cell @param {string} kind */
function mark(cell, kind) {
  const { node } = game;
  const others = node.marks.filter((old) => old.cell !== cell || old.kind !== kind);
  if (others.length === node.marks.length) {
    const letters = node.marks.filter((old) => old.kind === "label").length;
    others.push({ kind, cell, text: kind === "label" ? String.fromCharCode(65 + (letters % 26)) : "" });
  }
  node.marks = others;
  game.changed();
}

/** @param {number} at */
const go = (at) => game.go(at);

function drawBoard() {
  const { stones, last, chain, orders } = game.position;
  const host = by("board");
  /** @type {Map<number, import("./board.js").Mark[]>} */
  const marks = new Map();
  for (const { cell, kind, text } of game.node.marks) {
    const place = cellIndex(cell, game.size);
    marks.set(place, [...(marks.get(place) ?? []), { kind, text }]);
  }
  const shown = { policy: by("show-policy").checked, values: by("show-values").checked };
  const turned = host.clientWidth < 700 && window.innerHeight > window.innerWidth;
  board.show({
    size: game.size, stones, last, chain, turned, marks,
    orders: by("show-numbers").checked ? orders : null,
    hints: analysis.depth === "off" ? new Map() : analysis.hints(shown),
  });
}

function drawState() {
  const line = game.tree.line(game.at);
  const place = line.indexOf(game.at);
  by("where").textContent = `${place} of ${line.length - 1}`;
  by("status").textContent = play.status;
  for (const id of ["start", "back"]) by(id).disabled = place === 0;
  for (const id of ["on", "end"]) by(id).disabled = place === line.length - 1;
  const { winner } = game.position;
  by("swap").hidden = !play.maySwap;
  by("undo").disabled = game.at === 0;
  by("redo").disabled = !game.tree.children[game.at].length;
  by("resign").disabled = Boolean(winner) || play.thinking;
  by("stop").hidden = !play.thinking;
  by("series").hidden = play.players.red === YOU || play.players.blue === YOU;
  by("score").textContent = play.score;
  by("red").value = play.players.red;
  by("blue").value = play.players.blue;
  by("size").value = String(game.size);
}

function drawAnalysis() {
  const { found } = analysis;
  const isOn = analysis.depth !== "off";
  const chance = isOn && found ? (analysis.side === RED ? found.value : 1 - found.value) : review.chance(game.at);
  by("chance-red").parentElement.classList.toggle("known", chance !== null);
  by("chance-red").style.width = chance === null ? "0" : `${100 * chance}%`;
  by("thoughts").textContent = isOn ? analysis.summary : "";
  const seen = isOn && found ? found.moves.filter((move) => move.visits || move.policy > 0.01) : [];
  by("best").hidden = !seen.length;
  by("best").tBodies[0].replaceChildren(...seen.slice(0, BEST).map((move) => {
    const row = document.createElement("tr");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = move.cell;
    button.addEventListener("click", () => chosen(cellIndex(move.cell, game.size)));
    const texts = [move.value === null ? "" : `${percent(move.value)} %`, `${percent(move.policy)} %`, String(move.visits)];
    row.insertCell().append(button);
    for (const text of texts) row.insertCell().textContent = text;
    return row;
  }));
}

function drawReview() {
  if (view !== "review") return;
  by("sweep-state").textContent = review.words;
  by("graph").replaceChildren(graph(review, go));
  by("mistakes").replaceChildren(...review.mistakes().map((found) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = moveName(review, found.at) + found.sign;
    button.addEventListener("click", () => go(found.at));
    const better = found.better.map((seen) => `${seen.cell} ${percent(seen.value)} %`).join(", ");
    item.append(button, `${found.grade}, loses ${percent(found.loss)} %${better && `; better: ${better}`}`);
    return item;
  }));
  by("moves").replaceChildren(moveList(review, go));
  const here = by("moves").querySelector("[aria-current]");
  if (here) by("moves").scrollTop += here.getBoundingClientRect().top - by("moves").getBoundingClientRect().top - 100;
  if (document.activeElement !== by("comment")) by("comment").value = game.node.comment;
  by("turn").value = colourName(game.position.turn);
}

/** Shows a view; of Watch a run, if one is named. @param {string} name @param {string} [run] */
function show(name, run = "") {
  view = name;
  for (const button of document.querySelectorAll("nav button")) {
    button.toggleAttribute("aria-current", button.id === `view-${name}`);
    if (button.id === `view-${name}`) button.setAttribute("aria-current", "page");
  }
  by("game").hidden = name === "watch";
  by("watch").hidden = name !== "watch";
  by("play").hidden = name !== "play";
  by("review").hidden = name !== "review";
  scrollTo(0, 0);
  play.active = name === "play";
  if (name !== "play") play.stop();
  watching?.stop();
  watching = null;
  if (name === "watch") {
    analysis.stop();
    watching = startWatch(by("watch"), { openGame, shown: nameRun });
    if (run) watching.show(run);
    nameRun(run);
  } else {
    changed();
  }
  if (name === "play") play.answer();
}

/** Puts the run that is watched into the address. @param {string} run */
function nameRun(run) {
  history.replaceState(null, "", run ? `#watch=${encodeURIComponent(run)}` : "#watch");
}

/** @param {string} run @param {number} size @param {number} id */
async function openGame(run, size, id) {
  try {
    const asked = new URLSearchParams({ name: run, size: String(size), id: String(id) });
    const found = await get(`/api/runs/game?${asked}`);
    show("review");
    game.take(new Tree(found.tree));
    review.recorded = found.values;
    drawReview();
  } catch (error) {
    by("review-said").textContent = said(error);
    show("review");
  }
}

function drawAll() {
  drawBoard();
  drawState();
  drawAnalysis();
  drawReview();
}

function changed() {
  const fragment = game.tree.nodes.length > 1 ? game.tree.fragment(game.at) : "";
  if (view !== "watch") history.replaceState(null, "", fragment || location.pathname);
  drawAll();
}

/** @param {string} text */
async function readGame(text) {
  try {
    await game.read(text);
    by("review-said").textContent = [game.tree.note, `${game.tree.nodes.length - 1} moves read`].filter(Boolean).join("; ");
  } catch (error) {
    by("review-said").textContent = said(error);
  }
}

/** @param {(text: string) => void} then */
async function written(then) {
  try {
    then(await review.write(by("format").value));
  } catch (error) {
    by("review-said").textContent = said(error);
  }
}

/** @param {string} text */
function download(text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = `game.${by("format").value === "sgf" ? "sgf" : "txt"}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** What a fragment of the address asks for. */
async function follow(hash = location.hash) {
  const fragment = decodeURIComponent(hash);
  if (fragment.startsWith("#watch")) {
    if (!by("view-watch").hidden) show("watch", fragment.slice(7));
  } else if (fragment.length > 1) {
    show("review");
    await readGame(fragment);
  }
}

function fill() {
  const players = [
    [YOU, "you"],
    ...Array.from({ length: 10 }, (_, k) => [`level:${k + 1}`, `level ${k + 1}`]),
    ...[1, 3, 10].map((n) => [`seconds:${n}`, `${n} s a move`]),
    ...[200, 1000, 5000].map((n) => [`evaluations:${n}`, `${n} evaluations`]),
  ];
  for (const id of ["red", "blue"]) by(id).append(...players.map(([value, text]) => new Option(text, value)));
  by("size").append(...SIZES.map((n) => new Option(`${n} × ${n}`, String(n))));
}

function begin() {
  const size = Number(by("size").value);
  play.stopSeries();
  game.begin(size);
}

/** @param {string} depth */
function think(depth) {
  analysis.depth = depth;
  by("depth").value = depth;
  analysis.run();
}

/** @param {string} id */
function toggle(id) {
  by(id).checked = !by(id).checked;
  drawBoard();
}

/** What a key does, where nobody types. @type {Record<string, () => void>} */
const KEYS = {
  ArrowLeft: () => game.step("back"),
  ArrowRight: () => game.step("on"),
  ArrowUp: () => game.sideways(-1),
  ArrowDown: () => game.sideways(1),
  Home: () => game.step("start"),
  End: () => game.step("end"),
  " ": () => think(analysis.busy || analysis.depth !== "off" ? "off" : "on"),
  b: () => board.focus(),
  n: begin,
  u: () => play.undo(),
  r: () => play.redo(),
  s: () => play.swap(),
  g: () => { show("review"); review.sweep(); },
  v: () => toggle("show-values"),
  p: () => toggle("show-policy"),
  1: () => show("play"),
  2: () => show("review"),
  3: () => { if (!by("view-watch").hidden) show("watch"); },
};

/** @param {KeyboardEvent} event */
function pressed(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const types = target.closest("input, textarea, select, [contenteditable]");
  if (types || event.ctrlKey || event.metaKey || event.altKey || by("keys").open) return;
  if (event.key === "?") {
    by("keys").showModal();
    return;
  }
  if ([" ", "Enter"].includes(event.key) && target.closest("button, a, label, summary")) return;
  const isForWatch = view === "watch" && !["1", "2", "3"].includes(event.key);
  const act = isForWatch ? undefined : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function listen() {
  game.addEventListener("change", changed);
  play.addEventListener("change", drawState);
  analysis.addEventListener("change", () => { drawBoard(); drawAnalysis(); });
  review.addEventListener("change", () => { drawReview(); drawAnalysis(); });
  for (const name of ["play", "review", "watch"]) when(`view-${name}`, "click", () => show(name));
  for (const where of /** @type {("start" | "back" | "on" | "end")[]} */ (["start", "back", "on", "end"])) {
    when(where, "click", () => game.step(where));
  }
  for (const id of ["red", "blue"]) when(id, "change", () => play.seat(by("red").value, by("blue").value));
  when("size", "change", begin);
  when("swap-rule", "change", (event) => { game.swapRule = event.target.checked; drawState(); });
  when("new", "click", begin);
  when("swap", "click", () => play.swap());
  when("undo", "click", () => play.undo());
  when("redo", "click", () => play.redo());
  when("resign", "click", () => play.resign());
  when("stop", "click", () => play.stopSeries());
  when("series-start", "click", () => play.startSeries(Math.max(1, Math.min(1000, Number(by("series-games").value) || 20))));
  when("depth", "change", (event) => think(event.target.value));
  for (const id of ["show-values", "show-policy", "show-numbers"]) when(id, "change", drawBoard);
  when("show-other", "change", (event) => { analysis.otherSide = event.target.checked; analysis.run(); });
  when("sweep", "click", () => review.sweep());
  when("promote", "click", () => go(game.tree.promote(game.at)));
  when("delete", "click", () => go(game.tree.remove(game.at)));
  when("turn", "change", (event) => { game.node.turn = event.target.value; game.tree.positions = []; game.changed(); });
  when("comment", "input", (event) => { game.node.comment = event.target.value; });
  when("comment", "change", () => game.changed());
  when("read", "click", () => readGame(by("text").value));
  when("file", "change", async (event) => { await readGame(await event.target.files[0].text()); event.target.value = ""; });
  when("write", "click", () => written((text) => { by("text").value = text; by("text").select(); }));
  when("download", "click", () => written(download));
  when("help", "click", () => by("keys").showModal());
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", () => follow());
  new ResizeObserver(drawBoard).observe(by("board"));
  listenToDrops();
}

function listenToDrops() {
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    const text = file ? await file.text() : event.dataTransfer?.getData("text");
    if (!text) return;
    show("review");
    await readGame(text);
  });
}

async function start() {
  const { hash } = location;
  fill();
  listen();
  show("play");
  try {
    const engine = await get("/api/engine");
    analysis.network = engine.network;
    by("view-watch").hidden = !engine.runs;
  } catch (error) {
    by("status").textContent = said(error);
    return;
  }
  await follow(hash);
}

start();

