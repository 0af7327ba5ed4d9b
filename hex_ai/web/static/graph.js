// @ts-check
/** The course of a game as a curve. */

import { svg } from "./board.js";

const [WIDTH, HEIGHT, LEFT] = [360, 120, 30];

/** The place of a chance. @param {number} chance */
const down = (chance) => 6 + (1 - chance) * (HEIGHT - 24);

/** @param {{px: number, py: number}[]} points */
const joined = (points) => points.map((p) => `${p.px.toFixed(1)},${p.py.toFixed(1)}`).join(" ");

/** What the curve says at a place, in words. @param {(number | null)[]} chances @param {number} here */
function inWords(chances, here) {
  if (chances.every((chance) => chance === null)) return "no values yet";
  const now = chances[here];
  return `Red's chance to win: now ${now === null ? "not known" : `${Math.round(100 * now)} %`}`;
}

/**
 * Red's chance over the plies of a line, null where it is not known; a click goes to a ply.
 * @param {{chances: (number | null)[], slips: boolean[], here: number, recorded?: (number | null)[]}} course
 *   `slips` are the plies that lost much; `recorded` are the chances as they were seen in play
 * @param {(ply: number) => void} go
 */
export function curve({ chances, slips, here, recorded = [] }, go) {
  const last = chances.length - 1;
  const wide = WIDTH - LEFT - 6;
  const x = (/** @type {number} */ ply) => LEFT + (ply * wide) / Math.max(1, last);
  const placed = (/** @type {(number | null)[]} */ some) => some.slice(0, last + 1).map((chance, ply) => ({ ply, chance })).filter((p) => p.chance !== null)
    .map((p) => ({ ...p, px: x(p.ply), py: down(/** @type {number} */ (p.chance)) }));
  const points = placed(chances);
  const picture = svg("svg", { class: "graph", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": inWords(chances, here) },
    svg("rect", { class: "frame", x: LEFT, y: down(1), width: wide, height: down(0) - down(1) }),
    svg("line", { class: "half", x1: LEFT, x2: WIDTH - 6, y1: down(0.5), y2: down(0.5) }),
    svg("text", { x: 0, y: down(1) + 8 }, "Red"), svg("text", { x: 0, y: down(0) }, "Blue"),
    svg("text", { x: LEFT, y: HEIGHT - 4 }, "0"),
    svg("text", { x: WIDTH - 6, y: HEIGHT - 4, class: "end" }, String(last)));
  if (points.length) {
    const known = joined(points);
    const [from, to] = [points[0], points[points.length - 1]];
    picture.append(
      svg("polygon", { class: "area", points: `${from.px},${down(0)} ${known} ${to.px},${down(0)}` }),
      svg("polyline", { class: "curve", points: known }),
      ...points.filter((p) => slips[p.ply]).map((p) => svg("circle", { class: "slip", cx: p.px, cy: p.py, r: 3.5 })));
  }
  const played = joined(placed(recorded));
  if (played) {
    picture.append(svg("polyline", { class: "recorded", points: played }),
      svg("text", { x: WIDTH / 2, y: HEIGHT - 4, class: "middle" }, "dashed: as it was seen in play"));
  }
  picture.append(svg("line", { class: "here", x1: x(here), x2: x(here), y1: down(1), y2: down(0) }));
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * WIDTH;
    go(Math.max(0, Math.min(last, Math.round(((place - LEFT) * last) / wide))));
  });
  return picture;
}
