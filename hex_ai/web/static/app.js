// @ts-check
/** The page: views, controls and keys. */

import { get, said } from "./api.js";
import { Analysis, percent } from "./analysis.js";
import { BoardView } from "./board.js";
import { Game } from "./game.js";
import { capital, cellIndex, cellName, colourName, colourOf, RED } from "./hex.js";
import { Play, YOU } from "./play.js";
import { MoveList, Review, graph, moveName, whoPlayed } from "./review.js";
import { Tree } from "./tree.js";
import { startWatch } from "./watch.js";

const SIZES = Array.from({ length: 17 }, (_, k) => k + 3);
const BEST = 8;
/** Bytes of a file with a game. */
const LARGEST = 2 ** 20;
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
const moves = new MoveList(by("moves"), review, go);
let view = "play";
let [addressed, writing] = [-Infinity, 0];
/** The node whose comment is shown. @type {import("./tree.js").Node | null} */
let commented = null;
/** @type {{stop(): void, show(name: string): void} | null} */
let watching = null;

/** Writes a text where it is another one, so that it is not spoken again. @param {string} id @param {string} text */
function write(id, text) {
  if (by(id).textContent !== text) by(id).textContent = text;
}

/** A button that does nothing now keeps the keyboard's place. @param {string} id @param {boolean} isOff */
const off = (id, isOff) => by(id).setAttribute("aria-disabled", String(isOff));

/** @param {string} cell */
function playAt(cell) {
  if (view !== "play" || play.isYourTurn) game.play(cell);
}

/** @param {number} cell */
function chosen(cell) {
  const name = cellName(cell, game.size);
  const tool = view === "review" ? by("tool").value : "play";
  if (tool === "play") {
    playAt(name);
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
    const used = node.marks.map((old) => old.text);
    const letter = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"].find((free) => !used.includes(free)) ?? "Z";
    others.push({ kind, cell, text: kind === "label" ? letter : "" });
  }
  node.marks = others;
  game.changed();
}

/** @param {number} at */
function go(at) {
  game.go(at);
}

function drawBoard() {
  const { stones, last, chain } = game.position;
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
    orders: by("show-numbers").checked ? game.tree.orders(game.at) : null,
    hints: analysis.depth === "off" ? new Map() : analysis.hints(shown),
  });
}

function drawState() {
  const line = game.tree.line(game.at);
  const place = line.indexOf(game.at);
  const { move } = game.node;
  write("where", `${place} of ${line.length - 1}`);
  write("last", move ? `${capital(move.colour)}: ${move.what}. ` : "");
  write("status", play.status);
  write("details", play.details);
  for (const id of ["start", "back", "undo"]) off(id, place === 0);
  for (const id of ["on", "end", "redo"]) off(id, place === line.length - 1);
  off("resign", !play.isYourTurn);
  by("swap").hidden = !play.maySwap;
  by("stop").hidden = !play.thinking && !play.waits;
  write("stop", play.thinking ? "Stop" : "Let the engine move");
  by("series").hidden = play.players.red === YOU || play.players.blue === YOU;
  write("score", play.score);
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
  drawBest(seen.slice(0, BEST));
}

/** The rows stay while what is in them changes, so that a click finds them. @param {import("./analysis.js").MoveSeen[]} seen */
function drawBest(seen) {
  const [body] = by("best").tBodies;
  by("best").hidden = !seen.length;
  while (body.rows.length > seen.length) body.deleteRow(-1);
  while (body.rows.length < seen.length) {
    const row = body.insertRow();
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => playAt(/** @type {string} */ (button.textContent)));
    row.insertCell().append(button);
    for (let k = 0; k < 3; k += 1) row.insertCell();
  }
  seen.forEach((move, k) => {
    const [name, ...others] = body.rows[k].cells;
    name.firstChild.textContent = move.cell;
    const texts = [move.value === null ? "" : `${percent(move.value)} %`, `${percent(move.policy)} %`, String(move.visits)];
    texts.forEach((text, column) => { others[column].textContent = text; });
  });
}

function drawReview() {
  if (view !== "review") return;
  write("names", whoPlayed(game.tree));
  write("sweep-state", review.words);
  by("graph").replaceChildren(graph(review, go));
  drawMistakes();
  moves.draw();
  if (document.activeElement !== by("comment") || commented !== game.node) by("comment").value = game.node.comment;
  commented = game.node;
  by("turn").value = colourName(game.position.turn);
}

function drawMistakes() {
  const host = by("mistakes");
  const place = [...host.querySelectorAll("button")].indexOf(document.activeElement);
  host.replaceChildren(...review.mistakes().map((found) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = moveName(review, found.at) + found.sign;
    button.addEventListener("click", () => go(found.at));
    const better = found.better.map((seen) => `${seen.cell} ${percent(seen.value)} %`).join(", ");
    item.append(button, `${found.grade}, loses ${percent(found.loss)} %${better && `; better: ${better}`}`);
    return item;
  }));
  if (place >= 0) host.querySelectorAll("button")[place]?.focus({ preventScroll: true });
}

/** Shows a view; of Watch a run, if one is named. @param {string} name @param {string} [run] */
function show(name, run = "") {
  game.forget();
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
    analysis.run();
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
    const found = await game.latest(get(`/api/runs/game?${asked}`));
    if (!found) return;
    show("review");
    game.take(new Tree(found.tree));
    review.record(found.values);
  } catch (error) {
    show("review");
    write("review-said", said(error));
  }
}

function drawAll() {
  drawBoard();
  drawState();
  drawAnalysis();
  drawReview();
}

function changed() {
  drawAll();
  writeAddress();
}

/** Puts the game into the address, a few times a second at most: browsers refuse more. */
function writeAddress() {
  const wait = addressed + 200 - performance.now();
  clearTimeout(writing);
  if (wait > 0) {
    writing = setTimeout(writeAddress, wait);
  } else if (view !== "watch") {
    addressed = performance.now();
    const fragment = game.tree.nodes.length > 1 ? game.tree.fragment(game.at) : "";
    history.replaceState(null, "", fragment || location.pathname);
  }
}

/** @param {string} text */
async function readGame(text) {
  try {
    if (!await game.read(text)) return;
    const count = game.tree.nodes.filter((node) => node.move).length;
    write("review-said", [game.tree.note, `${count} move${count === 1 ? "" : "s"} read`].filter(Boolean).join("; "));
  } catch (error) {
    write("review-said", said(error));
  }
}

/** @param {File | undefined} file */
async function readFile(file) {
  if (!file) return;
  try {
    if (file.size > LARGEST) throw new Error(`${file.name} is too large to be a game`);
    const text = await file.text();
    await readGame(text);
  } catch (error) {
    write("review-said", error instanceof DOMException ? `${file.name} cannot be read` : said(error));
  }
}

/** @param {(text: string) => void} then */
async function written(then) {
  try {
    then(await review.write(by("format").value));
    write("review-said", "");
  } catch (error) {
    write("review-said", said(error));
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

/** @param {string} text that somebody may have written by hand */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What a fragment of the address asks for. */
async function follow(hash = location.hash) {
  const fragment = decoded(hash);
  if (/^#watch(=|$)/.test(fragment)) {
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
  const size = Number(by("size").value) || game.size;
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
  n: () => { if (view === "play") begin(); },
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
  game.addEventListener("new", () => write("review-said", ""));
  game.addEventListener("change", changed);
  play.addEventListener("change", drawState);
  analysis.addEventListener("change", () => {
    drawBoard();
    drawAnalysis();
    if (analysis.depth !== "off" && !analysis.busy) drawReview();
  });
  analysis.addEventListener("network", drawReview);
  review.addEventListener("change", () => { drawReview(); drawAnalysis(); });
  for (const name of ["play", "review", "watch"]) when(`view-${name}`, "click", () => show(name));
  for (const where of /** @type {("start" | "back" | "on" | "end")[]} */ (["start", "back", "on", "end"])) {
    when(where, "click", () => game.step(where));
  }
  for (const id of ["red", "blue"]) when(id, "change", () => play.seat(by("red").value, by("blue").value));
  when("size", "change", begin);
  when("swap-rule", "change", (event) => { game.swapRule = event.target.checked; if (play.thinking) play.answer(); drawState(); });
  when("new", "click", begin);
  when("swap", "click", () => { play.swap(); board.focus(); });
  when("undo", "click", () => play.undo());
  when("redo", "click", () => play.redo());
  when("resign", "click", () => play.resign());
  when("stop", "click", () => (play.thinking ? play.stopSeries() : play.ask()));
  when("series-start", "click", () => play.startSeries(Math.max(1, Math.min(1000, Math.round(by("series-games").value) || 20))));
  when("depth", "change", (event) => think(event.target.value));
  for (const id of ["show-values", "show-policy", "show-numbers"]) when(id, "change", drawBoard);
  when("show-other", "change", (event) => { analysis.otherSide = event.target.checked; analysis.run(); });
  when("sweep", "click", () => review.sweep());
  when("promote", "click", () => go(game.tree.promote(game.at)));
  when("delete", "click", () => go(game.tree.remove(game.at)));
  when("turn", "change", (event) => { game.node.turn = event.target.value; game.tree.positions = []; game.changed(); });
  when("comment", "input", (event) => { game.node.comment = event.target.value; });
  when("comment", "change", () => moves.draw());
  when("read", "click", () => readGame(by("text").value));
  when("file", "change", async (event) => { await readFile(event.target.files[0]); event.target.value = ""; });
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
    document.body.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    const text = event.dataTransfer?.getData("text") ?? "";
    if (!file && /** @type {Element} */ (event.target).closest("textarea, input")) return;
    event.preventDefault();
    if (!file && !text) return;
    show("review");
    await (file ? readFile(file) : readGame(text));
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
    write("details", said(error));
    return;
  }
  await follow(hash);
}

start();

