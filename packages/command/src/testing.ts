/** Runs commands in this process with captured output, for tests. */
import { Readable } from "node:stream";
import { InterruptHandler } from "./interrupts.ts";
import type { Io, Output } from "./io.ts";
import { run, type ProgramInfo } from "./program.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Record<string, string>;
  /** Makes stdout and stderr terminals of this width. */
  readonly columns?: number;
  /** Called at the start with what a press of Ctrl-C does. */
  readonly onStart?: (press: () => void) => void;
  /** Called after each piece of stdout with all of it, and with what a press of Ctrl-C does. */
  readonly onOutput?: (stdout: string, press: () => void) => void;
}

export class Captured implements Output {
  text = "";
  constructor(
    readonly columns?: number,
    readonly onWrite: (text: string) => void = () => {},
  ) {}

  get isTTY(): boolean {
    return this.columns !== undefined;
  }

  write(text: string): void {
    this.text += text;
    this.onWrite(this.text);
  }
}

export async function runCaptured(program: ProgramInfo, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const interrupts = new InterruptHandler(() => {
    throw new Error("killed by a second Ctrl-C");
  });
  options.onStart?.(interrupts.press);
  const stdout = new Captured(options.columns, (text) => options.onOutput?.(text, interrupts.press));
  const stderr = new Captured(options.columns);
  const io: Io = { stdin: Readable.from([options.stdin ?? ""]), stdout, stderr, env: options.env ?? {}, interrupts };
  const code = await run(args, program, io);
  return { code, stdout: stdout.text, stderr: stderr.text };
}
