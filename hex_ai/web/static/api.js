// @ts-check
/** Questions to the server. */

/** What the server has refused, or that it cannot be reached. */
export class Refused extends Error {}

/** @param {unknown} error */
export const said = (error) => (error instanceof Error ? error.message : String(error));

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Refused("the server does not answer; is hex-ai serve still running?");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Refused(answer.error ?? `the server answers ${response.status}`);
}

/** @param {unknown} body @param {AbortSignal} [signal] @returns {RequestInit} */
const posting = (body, signal) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

/** @param {string} path */
export async function get(path) {
  return (await ask(path)).json();
}

/** @param {string} path @param {unknown} body */
export async function post(path, body) {
  return (await ask(path, posting(body))).json();
}

/**
 * Asks for something that takes time, and waits for its end.
 * @param {string} path @param {unknown} body @param {AbortSignal} signal
 * @param {(name: string, message: any) => void} told of every event but the last
 * @returns {Promise<any>} the message of the event `done`
 */
export async function stream(path, body, signal, told) {
  const response = await ask(path, posting(body, signal));
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const read = () => reader.read().catch((error) => {
    if (isAbort(error)) throw error;
    return { done: true, value: undefined };
  });
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await read();
    if (done) throw new Refused("the server has ended before its answer did");
    signal.throwIfAborted();
    text += decoder.decode(value, { stream: true });
    const blocks = text.split("\n\n");
    text = /** @type {string} */ (blocks.pop());
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (!name || !data) continue;
      const message = JSON.parse(data);
      if (name === "done") return message;
      if (name === "error") throw new Refused(message.error);
      told(name, message);
    }
  }
}
