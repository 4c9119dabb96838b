/**
 * Checks and benchmarks on this machine's GPU: `node dist/main.mjs [check] [model] [bench] [small] [f32] [f16] [--dawn=FLAG]…`;
 * every part and both types when none is named. RANDOM_CASES sets how many configurations random cases try. Prints as it goes,
 * writes `verified.json`, the record that the repository keeps, into the folder `OUT` or the working folder, and ends with 1
 * when anything failed. Parts that were not asked for stay as the record in that folder or in the repository around the pack
 * has them, where it is of the same kernels and GPU.
 */
import { readFile } from "node:fs/promises";
import { earlierParts, recordFile, writeRecord } from "../../../tooling/gpu/src/record.ts";
import type { GpuRecord } from "../../../tooling/gpu/src/record.ts";
import { webgpuBackend } from "../src/index.ts";
import { gpuSizes, smallSizes, timeKernels } from "../src/measure.ts";
import { activations, checkInShards, checkShard } from "./check.ts";
import type { Activation } from "./check.ts";
import { machineReport } from "./machine.ts";
import { model } from "./model.ts";

type Part = (activation: Activation) => Promise<{ report: unknown; ok: boolean }>;

const words = process.argv.slice(2);
const flags = words.filter((word) => word.startsWith("--dawn="));
const dawnFlags = flags.map((flag) => flag.slice("--dawn=".length));
const named = <Word extends string>(all: readonly Word[]): readonly Word[] => {
  const some = all.filter((each) => words.includes(each));
  return some.length > 0 ? some : all;
};

if (words[0] === "shard") {
  const [, activation, shard, shards] = words;
  await checkShard(activation === "f16" ? "f16" : "f32", dawnFlags, Number(shard), Number(shards));
}

const parts: Readonly<Record<"check" | "model" | "bench", Part>> = {
  check: (activation) => checkInShards(activation, flags),
  model: (activation) => model({ activation, dawnFlags }),
  async bench(activation) {
    const backend = await webgpuBackend({ activation, dawnFlags });
    const { description, limitations } = backend.capabilities;
    const report = await timeKernels(backend, words.includes("small") ? smallSizes : gpuSizes);
    await backend.close();
    return { report: { description, limitations, timings: report }, ok: true };
  },
};

const kernels = JSON.parse(await readFile(new URL("../kernels.json", import.meta.url), "utf8")) as Record<string, string>;
const machine = await machineReport(dawnFlags);
console.log(JSON.stringify(machine));
const around = new URL("../../../verified.json", import.meta.url);
const record: GpuRecord = {
  ...(await earlierParts([recordFile(), around], { kernels, adapter: machine.adapter, driver: machine.driver })),
  date: new Date().toISOString().slice(0, 10),
  ...machine,
  kernels,
  unverified: {},
};
/** Parts run one after the other; of the check, which computes little, both types at the same time. */
for (const part of named(["check", "model", "bench"])) {
  const run = async (activation: Activation): Promise<void> => {
    const { report, ok } = await parts[part](activation).catch((error: unknown) => ({ report: { error: String(error) }, ok: false }));
    if (!ok) process.exitCode = 1;
    console.log(`${part}, ${activation}: ${ok ? "passed" : `FAILED ${JSON.stringify(report).slice(0, 2000)}`}`);
    record[part] = { ...(record[part] as object | undefined), [activation]: report };
    await writeRecord(record);
  };
  const types = named(activations);
  if (part === "check") await Promise.all(types.map(run));
  else for (const activation of types) await run(activation);
}
