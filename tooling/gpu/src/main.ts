/**
 * On the machine with the GPU: `node main.mjs [check] [model] [fixtures] [unions] [bench] [lab] [e2e] [sanitize]`, all when none is named. Prints as it goes
 * and writes `verified.json`, the record that the repository keeps, into the folder `OUT` or the working folder. Parts that
 * were not asked for stay as the repository's record has them, where it is of the same kernels.
 */
import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { probeCuda } from "@infllm/backend-cuda";
import { bench } from "./bench.ts";
import { check, checkShard } from "./check.ts";
import { endToEnd } from "./end-to-end.ts";
import { fixtures } from "./fixtures.ts";
import { generate } from "./generate.ts";
import { lab } from "./lab.ts";
import { earlierParts, writeRecord } from "./record.ts";
import type { GpuRecord } from "./record.ts";
import { sanitize } from "./sanitize.ts";
import { unions } from "./unions.ts";

const [verb, activation, shard, shards] = process.argv.slice(2);
if (verb === "shard" && (activation === "bf16" || activation === "f16")) await checkShard(activation, Number(shard), Number(shards));

const parts = { check, model: generate, fixtures, unions, bench, lab, e2e: endToEnd, sanitize } as const;
const asked = process.argv.slice(2).filter((name): name is keyof typeof parts => name in parts);
const names = asked.length > 0 ? asked : (Object.keys(parts) as (keyof typeof parts)[]);

const probe = await probeCuda();
console.log(JSON.stringify(probe));
const [device] = probe.devices;
if (probe.missing.length > 0 || device === undefined) {
  console.error(probe.missing.join("\n") || "no GPU");
  process.exit(1);
}
const index = JSON.parse(await readFile(new URL("../data/kernels.json", import.meta.url), "utf8")) as {
  readonly nvcc: string;
  readonly units: readonly { readonly name: string; readonly hash: string }[];
};
const kernels = Object.fromEntries(index.units.map(({ name, hash }) => [name, hash]));
const machine = {
  date: new Date().toISOString().slice(0, 10),
  device: device.name,
  computeCapability: `${device.major}.${device.minor}`,
  driver: device.driverVersion,
};
/** A part run alone is added to the record of the run before, and says itself when and on which GPU it ran. */
const all = names.length === Object.keys(parts).length;
const earlier = all ? {} : await earlierParts([new URL("../earlier.json", import.meta.url)], { kernels });
const record: GpuRecord = { ...machine, nvcc: index.nvcc, kernels, unverified: {}, ...earlier };
const later = isDeepStrictEqual(machine, pickMachine(record)) ? {} : { run: machine };
let failed = false;
for (const name of names) {
  try {
    const { report, ok } = await parts[name]();
    record[name] = { ...(report as object), ...later };
    failed ||= !ok;
  } catch (error) {
    console.error(error);
    record[name] = { error: String(error) };
    failed = true;
  }
  await writeRecord(record);
}
process.exit(failed ? 1 : 0);

function pickMachine({ date, device, computeCapability, driver }: GpuRecord): object {
  return { date, device, computeCapability, driver };
}
