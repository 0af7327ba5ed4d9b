// @ts-check
/** Follows one run: its view now, and each change while it runs. */
import { ask, reason, Refused } from "./watch_parts.js";

/** @typedef {import("../types/watch_types.js").View} View */

const LONGEST_PAUSE = 30;

/**
 * Nothing is asked and no timer runs while the page is hidden, nor once the run has ended.
 * @param {string} name
 * @param {{view(view: View): void, status(line: string, bad?: boolean): void}} told
 * @returns {() => void} ends it
 */
export function followRun(name, told) {
  let pause = 1;
  let timer = 0;
  let asked = new AbortController();
  /** @type {EventSource|null} */
  let line = null;

  function rest() {
    clearTimeout(timer);
    asked.abort();
    line?.close();
  }

  function end() {
    rest();
    document.removeEventListener("visibilitychange", turn);
  }

  /** @param {string} why */
  function again(why) {
    rest();
    told.status(`Lost the live data: ${why}. Trying again in ${pause} s.`, true);
    timer = setTimeout(connect, 1000 * pause);
    pause = Math.min(LONGEST_PAUSE, 2 * pause);
  }

  function listen() {
    line = new EventSource(`/api/runs/live?${new URLSearchParams({ name })}`);
    line.addEventListener("open", () => told.status("Live: changes show as they happen."));
    line.addEventListener("view", ({ data }) => {
      pause = 1;
      told.view(JSON.parse(data));
    });
    line.addEventListener("end", connect);
    line.addEventListener("error", () => again("the connection ended"));
  }

  async function connect() {
    rest();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const view = /** @type {View} */ (await ask("/api/runs/view", { name }, signal));
      if (signal.aborted) return;
      told.view(view);
      if (view.state === "running") return listen();
      end();
      told.status("");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused)) return again(reason(error));
      end();
      told.status(`No such run to show: ${reason(error)}.`, true);
    }
  }

  function turn() {
    rest();
    if (document.hidden) told.status("Waiting while the page is hidden.");
    else connect();
  }

  document.addEventListener("visibilitychange", turn);
  if (!document.hidden) connect();
  return end;
}
