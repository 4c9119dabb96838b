/** Runs commands in this process with captured output. */
import { runCaptured, type Outcome, type RunOptions } from "@infllm/command/testing";
import { program } from "../src/program.ts";

export type { Outcome };

export function infllm(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return runCaptured(program, args, options);
}
