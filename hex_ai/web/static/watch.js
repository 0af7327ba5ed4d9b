// @ts-check
/** The Watch view: the list of runs, and the page of each. */
import { showRun } from "./watch_run.js";
import { showRuns } from "./runs_table.js";

/**
 * @typedef {object} Hooks
 * @property {(run: string, size: number, id: number) => void} openGame opens a game of a run
 * @property {(name: string) => void} [shown] is told which run is shown; empty: the list
 */

/**
 * Starts with the list of runs.
 * @param {HTMLElement} root
 * @param {Hooks} hooks
 * @returns {{stop(): void, show(name: string): void}} `show` opens a run, or the list for an empty name
 */
export function startWatch(root, hooks) {
  let end = () => {};
  root.classList.add("watch");

  /** @param {string} name */
  function show(name) {
    end();
    root.replaceChildren();
    end = name ? showRun(root, name, hooks.openGame, () => visit("")) : showRuns(root, visit);
  }

  /** @param {string} name */
  function visit(name) {
    show(name);
    root.querySelector("h2")?.focus();
    hooks.shown?.(name);
  }

  show("");
  return {
    show,
    stop() {
      end();
      end = () => {};
      root.replaceChildren();
    },
  };
}
