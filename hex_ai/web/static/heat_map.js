// @ts-check
/** Draws how often each cell was the first stone, on the board's own shape. */
import { board, counted, percent, svg } from "./watch_parts.js";

const WIDEST = 640;
const KEY = 44;
const SWATCH = 46;
const WIDTH = Math.sqrt(3);
const CORNERS = [...Array(6).keys()].map((k) => [Math.sin((k * Math.PI) / 3), -Math.cos((k * Math.PI) / 3)]);
/** Opacity goes with the root of the share of the most, so that few games show too. */
const SHADES = [0, 1 / 16, 1 / 4, 9 / 16, 1];

/** @param {number} k */
const letter = (k) => String.fromCharCode(97 + k);

/** @param {SVGSVGElement} picture @param {number} most @param {number} y */
function key(picture, most, y) {
  [...new Set(SHADES.map((shade) => Math.round(shade * most)))].forEach((games, k) => {
    const place = { x: 8 + SWATCH * k, y, width: SWATCH, height: 12 };
    picture.append(
      svg("rect", { class: "plot-cell", ...place }),
      svg("rect", { class: "heat-cell", ...place, "fill-opacity": Math.sqrt(games / most) }),
      svg("text", { class: "plot-text", x: place.x + SWATCH / 2, y: y + 26, "text-anchor": "middle" }, `${games}`),
    );
  });
}

/**
 * @param {import("../types/watch_types.js").Opening} opening
 * @param {number} room pixels
 * @returns {import("./plot_frame.js").Picture|null} null where there is no game
 */
export function drawHeat({ size, counts }, room) {
  const total = counts.reduce((a, b) => a + b, 0);
  const most = Math.max(...counts);
  if (!total) return null;
  const width = Math.min(room, WIDEST);
  const radius = (width - 28) / (WIDTH * (1.5 * size + 0.5));
  const height = radius * (1.5 * size + 0.5) + 26 + KEY;
  const picture = svg("svg", { class: "plot-picture", viewBox: `0 0 ${width} ${height}`, width, height });
  /** @param {number} row @param {number} column */
  const centre = (row, column) => ({ x: 22 + radius * WIDTH * (column + row / 2 + 0.5), y: 24 + radius * (1.5 * row + 1) });
  /** @param {number} row @param {number} column @param {number[]} corners */
  function outline(row, column, corners = [0, 1, 2, 3, 4, 5]) {
    const { x, y } = centre(row, column);
    return corners.map((k) => `${x + radius * CORNERS[k][0]},${y + radius * CORNERS[k][1]}`).join(" ");
  }
  /** @param {string} kind @param {string} points @param {number} [opacity] */
  const hexagon = (kind, points, opacity = 1) => picture.append(svg("polygon", { class: kind, points, "fill-opacity": opacity }));
  const marks = [...Array(size).keys()].map((row) =>
    [...Array(size).keys()].map((column) => {
      const [games, cell] = [counts[row * size + column], `${letter(column)}${row + 1}`];
      hexagon("plot-cell", outline(row, column));
      hexagon("heat-cell", outline(row, column), Math.sqrt(games / most));
      return { ...centre(row, column), cell, games, text: `${cell}: ${counted(games, "game")}, ${percent(games / total)}` };
    }),
  );
  /** @param {string} colour @param {string} points */
  const edge = (colour, points) => picture.append(svg("polyline", { class: `heat-edge-${colour}`, points }));
  /** @param {string} text @param {number} x @param {number} y */
  const label = (text, x, y) => picture.append(svg("text", { class: "plot-text", x, y, "text-anchor": "end" }, text));
  const every = Math.ceil(9 / radius);
  for (let k = 0; k < size; k++) {
    edge("red", outline(0, k, [5, 0, 1]));
    edge("red", outline(size - 1, k, [2, 3, 4]));
    edge("blue", outline(k, 0, [3, 4, 5]));
    edge("blue", outline(k, size - 1, [0, 1, 2]));
    if (k % every) continue;
    label(letter(k), centre(0, k).x, 16);
    label(`${k + 1}`, centre(k, 0).x - radius * 0.9 - 5, centre(k, 0).y + 4);
  }
  key(picture, most, height - KEY + 12);
  const cells = marks.flat();
  const favourites = [...cells].sort((a, b) => b.games - a.games).slice(0, 5).map(({ text }) => text);
  return {
    svg: picture,
    marks,
    summary: `First stones of ${counted(total, "game")} on ${board(size)}. Most often ${favourites.join("; ")}.`,
    rows: [["cell", "games"], ...cells.map(({ cell, games }) => [cell, games])],
  };
}
