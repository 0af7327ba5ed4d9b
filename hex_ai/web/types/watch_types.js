// @ts-check
/**
 * What the server says about runs. Shares and chances are 0 to 1; a round's games, samples, evaluations
 * and seconds are those of the run by then; a spread is half the width of a 95 % interval.
 *
 * @typedef {{name: string, kind: "selfplay"|"learn", state: "running"|"complete"|"stopped"|"damaged",
 *   games: number, wanted: number|null, board_sizes: number[], changed: number, trouble: string}} Run
 * @typedef {{games_per_s: number|null, moves_per_s: number|null, evaluations_per_s: number|null,
 *   efficiency: number|null, mean_batch: number|null, hit_rate: number|null, eta_s: number|null,
 *   seconds: number|null, finished_games: number|null}} Rates
 * @typedef {{games: number, samples: number, evaluations: number, seconds: number}} Spent
 * @typedef {Spent & {number: number, board_size: number, mean_length: number, agreement: number,
 *   policy_loss: number, value_loss: number, entropy: number, learning_rate: number, network: string}} Round
 * @typedef {Spent & {checkpoint: string, elo: number, spread: number}} Rung
 * @typedef {{board_size: number, search_widths: number[], openings: string, rungs: Rung[],
 *   opponents: {name: string, elo: number, spread: number}[]}} Ladder
 * @typedef {{size: number, counts: number[]}} Opening games by first stone, row by row
 * @typedef {Run & {settings: Record<string, unknown>|null, plan: unknown, network: {digest?: string}|null,
 *   rates: Rates|null, boards: {size: number, moves: string[]}[], lengths: [number, number][],
 *   openings: Opening[], red_share: number|null, swap_share: number|null, mean_length: number|null,
 *   ends: Record<string, number>, rounds: Round[], ladder: Ladder|null}} View
 * @typedef {{id: number, size: number, length: number, winner: "red"|"blue", end: string, opening: string,
 *   swapped: boolean, upset: number|null, network: string}} Game
 */
export {};
