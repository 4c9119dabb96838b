/** One measurement in a process of its own: its memory is nobody else's, and a crash ends no other. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { timeInfllm } from "./infllm.ts";
import { timeNodeLlama } from "./node-llama-cpp.ts";
import type { E2eFigures, E2eSpec } from "./spec.ts";

/** Name of the hidden command that a measuring process runs. */
export const measureCommand = "e2e-process";

export type OnProgress = (label: string, done: number, total: number) => void;

type Message =
  | { readonly kind: "progress"; readonly label: string; readonly done: number; readonly total: number }
  | { readonly kind: "figures"; readonly figures: E2eFigures }
  | { readonly kind: "error"; readonly message: string };

export function measureHere(spec: E2eSpec, onProgress: OnProgress): Promise<E2eFigures> {
  return spec.engine === "infllm" ? timeInfllm(spec, onProgress) : timeNodeLlama(spec);
}

/**
 * @param program the file that knows `measureCommand`: this program's own
 * @throws Error with the process's own message, or how it ended
 */
export function measureApart(spec: E2eSpec, onProgress: OnProgress, signal: AbortSignal, program = fileURLToPath(import.meta.url)): Promise<E2eFigures> {
  return new Promise((resolve, reject) => {
    const child = fork(program, [measureCommand], { stdio: ["ignore", "ignore", "pipe", "ipc"], signal });
    let [outcome, complaint]: [Message | undefined, string] = [undefined, ""];
    child.stderr?.on("data", (piece: Buffer) => (complaint = (complaint + piece.toString("utf8")).slice(-2000)));
    child.on("message", (message: Message) => {
      if (message.kind === "progress") onProgress(message.label, message.done, message.total);
      else outcome = message;
    });
    child.on("error", reject);
    child.on("exit", (code, killedBy) => {
      if (outcome?.kind === "figures") resolve(outcome.figures);
      else if (outcome?.kind === "error") reject(new Error(outcome.message));
      else reject(new Error(`The measuring process ended by ${killedBy ?? `exit code ${code}`}${killedBy === "SIGKILL" ? " (out of memory?)" : ""}. ${complaint}`.trim()));
    });
    child.send(spec);
  });
}

/** The other end: waits for a specification, measures, answers. */
export async function runMeasuringProcess(): Promise<void> {
  const spec = await new Promise<E2eSpec>((resolve) => process.once("message", (message) => resolve(message as E2eSpec)));
  const send = (message: Message): Promise<void> => new Promise((resolve) => process.send?.(message, undefined, {}, () => resolve()));
  try {
    const figures = await measureHere(spec, (label, done, total) => void send({ kind: "progress", label, done, total }));
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    await send({ kind: "figures", figures: { ...figures, peakBytes } });
  } catch (error) {
    await send({ kind: "error", message: error instanceof Error ? error.message : String(error) });
  }
  process.disconnect();
}
