/** The worker's entry: runs each call, tells its events, and stops it when asked. */
import type { CallName, Failure, FromWorker, ToWorker } from "../engine/protocol.ts";
import { Runtime } from "./runtime.ts";

declare const self: DedicatedWorkerGlobalScope;

const runtime = new Runtime();
const stops = new Map<number, AbortController>();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.call === "stop") stops.get(data.id)?.abort();
  else void run(data);
};

async function run({ call, id, args }: Exclude<ToWorker, { call: "stop" }>): Promise<void> {
  const stop = new AbortController();
  stops.set(id, stop);
  // The names of call, arguments and handler belong together by the type of the message.
  const handler = runtime.handlers[call] as (context: unknown) => Promise<unknown>;
  try {
    const emit = (event: unknown): void => post({ type: "event", id, event });
    post({ type: "result", id, result: await handler({ args, emit, signal: stop.signal }) });
  } catch (error) {
    post({ type: "failure", id, failure: failureOf(call, error) });
  } finally {
    stops.delete(id);
  }
}

function failureOf(call: CallName, error: unknown): Failure {
  if (error instanceof Error || error instanceof DOMException) return { name: error.name, message: error.message };
  return { name: "Error", message: `${call} failed: ${String(error)}` };
}

function post(message: FromWorker): void {
  self.postMessage(message);
}
