/** What a command may touch of the outside world, so that tests can run commands in this process. */
import { InterruptedError } from "./exit-codes.ts";

export interface Output {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width of the terminal; undefined on pipes and files. */
  readonly columns?: number | undefined;
  /** The stream behind it, where line editing needs one. */
  readonly stream?: NodeJS.WritableStream | undefined;
}

export type Input = NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined };

export interface Interrupts {
  /** Aborted by the first Ctrl-C; a second one ends the process at once. */
  readonly signal: AbortSignal;
  /** Whether `signal` was aborted. */
  readonly interrupted: boolean;
  /** Runs `work` with a signal of its own: Ctrl-C then stops `work` and not the command. */
  scoped<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

export interface Io {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly interrupts: Interrupts;
}

/** All of standard input as text. */
export async function readAll(input: Input): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** Lets timers and signals in between two pieces of work that never wait. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** @throws InterruptedError once Ctrl-C was pressed. */
export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new InterruptedError("stopped by Ctrl-C");
}
