/** The conformance suite on the GPU, for bf16 and f16, shared out over processes: checking costs more time than computing. */
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { cudaBackend } from "@infllm/backend-cuda";
import type { CudaBackend } from "@infllm/backend-cuda";
import { runConformance } from "@infllm/conformance";
import { runCases } from "./runner.ts";
import type { Outcome } from "./runner.ts";

type Activation = "bf16" | "f16";

/** Random configurations of each random group. */
const RANDOM_CASES = Number(process.env["RANDOM_CASES"] ?? 256);
/** Without the golden cases, whose thousands of tokens take minutes under a sanitizer. */
const SMALL_ONLY = process.env["SMALL_CASES"] !== undefined;
/** Failures that the record keeps. */
const KEPT = 40;
const MOST_PROCESSES = 6;

interface ShardReport {
  readonly outcomes: readonly Outcome[];
  readonly allocationsAfterClose: number;
}

export async function check(): Promise<{ report: unknown; ok: boolean }> {
  const shards = Math.max(1, Math.min(MOST_PROCESSES, Math.floor(availableParallelism() / 2)));
  const report: Record<string, unknown> = {};
  let ok = true;
  const runs = (["bf16", "f16"] as const).map(async (activation) => {
    const parts = await Promise.all(Array.from({ length: shards }, (_, shard) => runShard(activation, shard, shards)));
    const outcomes = parts.flatMap((part) => part.outcomes);
    const failures = outcomes.filter(({ error }) => error !== undefined);
    const allocationsAfterClose = parts.reduce((sum, part) => sum + part.allocationsAfterClose, 0);
    ok &&= failures.length === 0 && allocationsAfterClose === 0;
    report[activation] = {
      cases: outcomes.length,
      randomConfigurations: RANDOM_CASES,
      passed: outcomes.filter(({ error, skipped }) => error === undefined && !skipped).length,
      skipped: outcomes.filter(({ skipped }) => skipped).map(({ name }) => name),
      failed: failures.slice(0, KEPT).map(({ name, error }) => ({ case: name, error: error?.slice(0, 400) })),
      allocationsAfterClose,
    };
    console.log(JSON.stringify({ activation, ...(report[activation] as object), failed: failures.length }));
  });
  await Promise.all(runs);
  return { report, ok };
}

/** A process of its own that runs every `shards`-th case. One that dies counts as a failed case. */
function runShard(activation: Activation, shard: number, shards: number): Promise<ShardReport> {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(import.meta.url), ["shard", activation, String(shard), String(shards)]);
    let report: ShardReport | undefined;
    child.on("message", (message) => (report = message as ShardReport));
    child.on("exit", (code) => {
      const died = { name: `process ${shard} of ${activation}`, error: `ended with ${code} before it reported`, milliseconds: 0 };
      resolve(report ?? { outcomes: [died], allocationsAfterClose: 0 });
    });
  });
}

/** The work of one such process. */
export async function checkShard(activation: Activation, shard: number, shards: number): Promise<void> {
  const outcomes: Outcome[] = [];
  let backend: CudaBackend | undefined;
  const lost = (): boolean => {
    try {
      backend?.memory();
      return false;
    } catch {
      return true;
    }
  };
  await runConformance({
    name: `cuda, ${activation}`,
    randomCases: RANDOM_CASES,
    create: async () => (backend = await cudaBackend({ activation })),
  });
  const report = (outcome: Outcome): void => {
    outcomes.push(outcome);
    if (outcome.error !== undefined) console.log(`FAIL ${outcome.name}\n     ${outcome.error.slice(0, 600)}`);
    else if (!process.send) console.log(`ok ${outcome.name} (${outcome.milliseconds.toFixed(0)} ms)`);
  };
  const wants = (index: number, name: string): boolean => index % shards === shard && !(SMALL_ONLY && name.includes("> goldens >"));
  await runCases({ report, stop: lost, wants });
  const result: ShardReport = { outcomes, allocationsAfterClose: backend?.allocations() ?? 0 };
  const { send } = process;
  if (send) await new Promise((resolve) => send.call(process, result, resolve));
  process.exit(send || outcomes.every(({ error }) => error === undefined) ? 0 : 1);
}
