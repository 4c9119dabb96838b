/** The small conformance cases under compute-sanitizer: accesses out of bounds, and races in shared memory. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const TOOLS = ["memcheck", "racecheck"] as const;
const PROCESSES = 16;
const RANDOM_CASES = 2;
const MOST_SECONDS = 450;
/** What the sanitizer exits with when it found something; the cases themselves exit with 1. */
const FOUND = 9;

export async function sanitize(): Promise<{ report: unknown; ok: boolean }> {
  const report: Record<string, unknown> = {};
  let ok = true;
  for (const tool of TOOLS) {
    const runs = await Promise.all(Array.from({ length: PROCESSES }, (_, shard) => run(tool, shard)));
    const unfinished = runs.filter(({ code }) => code === null);
    const found = runs.filter(({ code }) => code !== null && code !== 0);
    const clean = runs.length - unfinished.length - found.length;
    ok &&= clean === runs.length;
    report[tool] = {
      processes: PROCESSES,
      randomConfigurations: RANDOM_CASES,
      cases: runs.reduce((sum, { text }) => sum + text.split("\n").filter((line) => line.startsWith("ok ")).length, 0),
      clean,
      found: found.map(describe),
      unfinished: unfinished.map(({ shard, text }) => ({ shard, mostSeconds: MOST_SECONDS, lastCase: text.split("\n").findLast((line) => line.startsWith("ok ")) })),
    };
    console.log(JSON.stringify({ tool, ...(report[tool] as object) }));
    console.log(`${tool}, slowest: ${slowest(runs).join("; ")}`);
  }
  return { report, ok };
}

interface Run {
  readonly shard: number;
  readonly code: number | null;
  readonly text: string;
}

function run(tool: string, shard: number): Promise<Run> {
  return new Promise((resolve) => {
    const main = fileURLToPath(import.meta.url);
    const args = ["--tool", tool, "--error-exitcode", String(FOUND), process.execPath, main, "shard", "bf16", String(shard), String(PROCESSES)];
    const env = { ...process.env, RANDOM_CASES: String(RANDOM_CASES), SMALL_CASES: "1", INFLLM_CUBLASLT: "none" };
    const child = spawn("compute-sanitizer", args, { env, timeout: MOST_SECONDS * 1000, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
    child.on("error", (error) => resolve({ shard, code: -1, text: String(error) }));
    child.on("exit", (code) => resolve({ shard, code, text }));
  });
}

function slowest(runs: readonly Run[]): string[] {
  const timed = runs.flatMap(({ text }) => [...text.matchAll(/^ok (.*) \((\d+) ms\)$/gm)].map(([, name = "", ms]) => ({ name, ms: Number(ms) })));
  return timed.toSorted((a, b) => b.ms - a.ms).slice(0, 5).map(({ name, ms }) => `${name} ${ms} ms`);
}

function describe({ shard, code, text }: Run): object {
  const lines = text.split("\n").filter((line) => /error|race|hazard|FAIL|invalid|SUMMARY/i.test(line));
  return { shard, code, lines: lines.slice(0, 6).map((line) => line.slice(0, 240)) };
}
