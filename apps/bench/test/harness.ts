/** Runs `infllm-bench` in this process with captured output. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCaptured, type Outcome, type RunOptions } from "@infllm/command/testing";
import { afterAll } from "vitest";
import { program } from "../src/program.ts";
import type { ResultRecord } from "../src/results/record.ts";

export function bench(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return runCaptured(program, args, options);
}

/** A folder that goes away after the file's tests. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "infllm-bench-test-"));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function lines(folder: string, suite: string): Promise<ResultRecord[]> {
  const text = await readFile(join(folder, `${suite}.jsonl`), "utf8");
  return text.trimEnd().split("\n").map((line) => JSON.parse(line) as ResultRecord);
}
