/** The conformance suite on a GPU, shared out over processes: checking costs more time than computing. */
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { runConformance } from "@infllm/conformance";
import type { AnyBackend } from "@infllm/conformance";
import { runCases } from "./runner.ts";
import type { Outcome } from "./runner.ts";

/** Random configurations of each random group. */
const RANDOM_CASES = Number(process.env["RANDOM_CASES"] ?? 256);
/** Without the golden cases, whose thousands of tokens take minutes under a sanitizer. */
const SMALL_ONLY = process.env["SMALL_CASES"] !== undefined;
/** Failures that the record keeps, and characters of each. */
const KEPT = 40;
const KEPT_CHARACTERS = 400;
const MOST_PROCESSES = 6;

/** What the record keeps of one activation type. */
export interface CheckReport {
  readonly cases: number;
  readonly randomConfigurations: number;
  readonly passed: number;
  readonly skipped: readonly string[];
  readonly failed: readonly { readonly case: string; readonly error: string | undefined }[];
  /** What the closed backends still hold on the device. */
  readonly allocationsAfterClose: number;
}

interface ShardReport {
  readonly outcomes: readonly Outcome[];
  readonly allocationsAfterClose: number;
}

export interface ShardJob<Opened extends AnyBackend> {
  readonly name: string;
  readonly shard: number;
  readonly shards: number;
  create(): Promise<Opened>;
  /** What a closed backend still holds on the device. */
  held(backend: Opened): number;
}

/** Runs the suite in processes of this program, begun as `shard ACTIVATION NUMBER OF …rest`, and gathers what they report. */
export async function checkInShards(activation: string, rest: readonly string[] = []): Promise<{ report: CheckReport; ok: boolean }> {
  const shards = Math.max(1, Math.min(MOST_PROCESSES, Math.floor(availableParallelism() / 2)));
  const parts = await Promise.all(
    Array.from({ length: shards }, (_, shard) => runShard(["shard", activation, String(shard), String(shards), ...rest])),
  );
  const outcomes = parts.flatMap((part) => part.outcomes);
  const failures = outcomes.filter(({ error }) => error !== undefined);
  const allocationsAfterClose = parts.reduce((sum, part) => sum + part.allocationsAfterClose, 0);
  const report: CheckReport = {
    cases: outcomes.length,
    randomConfigurations: RANDOM_CASES,
    passed: outcomes.filter(({ error, skipped }) => error === undefined && !skipped).length,
    skipped: outcomes.filter(({ skipped }) => skipped).map(({ name }) => name),
    failed: failures.slice(0, KEPT).map(({ name, error }) => ({ case: name, error: error?.slice(0, KEPT_CHARACTERS) })),
    allocationsAfterClose,
  };
  console.log(JSON.stringify({ activation, ...report, failed: failures.length }));
  return { report, ok: failures.length === 0 && allocationsAfterClose === 0 };
}

/** A process of its own that runs every `shards`-th case. One that dies counts as a failed case. */
function runShard(words: readonly string[]): Promise<ShardReport> {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(import.meta.url), words);
    let report: ShardReport | undefined;
    child.on("message", (message) => (report = message as ShardReport));
    child.on("exit", (code, signal) => {
      const died = { name: `process: ${words.join(" ")}`, error: `ended with ${code ?? signal} before it reported`, milliseconds: 0 };
      resolve(report ?? { outcomes: [died], allocationsAfterClose: 0 });
    });
  });
}

/** The work of one such process, which it ends. */
export async function checkShard<Opened extends AnyBackend>({ name, shard, shards, create, held }: ShardJob<Opened>): Promise<never> {
  process.once("disconnect", () => process.exit(1));
  const outcomes: Outcome[] = [];
  const opened: Opened[] = [];
  const isLost = (): boolean => {
    try {
      opened.forEach((backend) => backend.memory());
      return false;
    } catch {
      return true;
    }
  };
  await runConformance({
    name,
    randomCases: RANDOM_CASES,
    create: async () => {
      const backend = await create();
      opened.push(backend);
      return backend;
    },
  });
  const report = (outcome: Outcome): void => {
    outcomes.push(outcome);
    if (outcome.error !== undefined) console.log(`FAIL ${outcome.name}\n     ${outcome.error.slice(0, KEPT_CHARACTERS)}`);
    else if (!process.send) console.log(`ok ${outcome.name} (${outcome.milliseconds.toFixed(0)} ms)`);
  };
  const wants = (index: number, caseName: string): boolean => index % shards === shard && !(SMALL_ONLY && caseName.includes("> goldens >"));
  await runCases({ report, stop: isLost, wants });
  const result: ShardReport = { outcomes, allocationsAfterClose: opened.reduce((sum, backend) => sum + held(backend), 0) };
  const { send } = process;
  if (send) await new Promise((resolve) => send.call(process, result, resolve));
  process.exit(send || outcomes.every(({ error }) => error === undefined) ? 0 : 1);
}
