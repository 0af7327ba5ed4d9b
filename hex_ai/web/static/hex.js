// @ts-check
/** The rules of Hex on plain arrays: +1 Red, -1 Blue, 0 empty; a cell is row * size + column. */

/** @typedef {1 | -1} Colour */
/** @typedef {"red" | "blue"} ColourName */

/** @type {Colour} */
export const RED = 1;
/** @type {Colour} */
export const BLUE = -1;

/** The six cells that touch (row, column). */
const NEIGHBOURS = [[-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0]];

/** @param {number} colour @returns {ColourName} */
export const colourName = (colour) => (colour > 0 ? "red" : "blue");

/** @param {string} name @returns {Colour} */
export const colourOf = (name) => (name === "red" ? RED : BLUE);

/** @param {number} colour @returns {Colour} */
export const other = (colour) => (colour > 0 ? BLUE : RED);

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {number} cell @param {number} size */
export function cellName(cell, size) {
  return String.fromCharCode(97 + (cell % size)) + (Math.floor(cell / size) + 1);
}

/** The cell of a name; -1 for a word. @param {string} name @param {number} size */
export function cellIndex(name, size) {
  const match = /^([a-z])([1-9][0-9]?)$/.exec(name);
  if (!match) return -1;
  const column = match[1].charCodeAt(0) - 97;
  const row = Number(match[2]) - 1;
  return row < size && column < size ? row * size + column : -1;
}

/** The cell with row and column exchanged. @param {number} cell @param {number} size */
export const mirror = (cell, size) => (cell % size) * size + Math.floor(cell / size);

/** @param {number[]} stones @param {number} size */
export function mirrored(stones, size) {
  return stones.map((_, cell) => -stones[mirror(cell, size)] || 0);
}

/** @param {number[]} stones */
export const stonesText = (stones) => stones.map((stone) => ".RB"[stone < 0 ? 2 : stone]).join("");

/** @param {number} cell @param {number} size @returns {number[]} */
export function neighbours(cell, size) {
  const row = Math.floor(cell / size);
  const column = cell % size;
  return NEIGHBOURS.map(([down, right]) => [row + down, column + right])
    .filter(([r, c]) => r >= 0 && c >= 0 && r < size && c < size)
    .map(([r, c]) => r * size + c);
}

/**
 * A shortest chain of stones that joins a colour's edges; empty if none does.
 * @param {number[]} stones @param {number} size @param {Colour} colour @returns {number[]}
 */
export function chainOf(stones, size, colour) {
  const starts = stones.map((_, cell) => cell)
    .filter((cell) => (colour > 0 ? cell < size : cell % size === 0) && stones[cell] === colour);
  /** @type {Map<number, number>} */
  const from = new Map(starts.map((cell) => [cell, -1]));
  const waiting = [...starts];
  for (const cell of waiting) {
    if ((colour > 0 ? Math.floor(cell / size) : cell % size) === size - 1) {
      const chain = [];
      for (let at = cell; at >= 0; at = from.get(at) ?? -1) chain.push(at);
      return chain;
    }
    for (const next of neighbours(cell, size)) {
      if (stones[next] === colour && !from.has(next)) {
        from.set(next, cell);
        waiting.push(next);
      }
    }
  }
  return [];
}
