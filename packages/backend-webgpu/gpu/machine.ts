/** What the record says of the machine. */
import { readFile } from "node:fs/promises";
import { findAdapter, isSoftware } from "../src/gpu.ts";

/** Limits that decide which kernels run and how large tensors may be. */
const limits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

export interface MachineReport {
  readonly adapter: string;
  /** As Dawn tells it: name and version of the driver. */
  readonly driver: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Does the CPU stand in for a GPU? */
  readonly software: boolean;
  readonly subgroups: readonly [least: number, most: number];
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly node: string;
  readonly dawn: string;
  readonly dawnFlags: readonly string[];
}

export async function machineReport(dawnFlags: readonly string[]): Promise<MachineReport> {
  const adapter = await findAdapter({ dawnFlags });
  const { info } = adapter;
  const { version } = JSON.parse(await readFile(new URL("../node_modules/webgpu/package.json", import.meta.url), "utf8")) as { version: string };
  return {
    adapter: info.device,
    driver: info.description,
    vendor: info.vendor,
    architecture: info.architecture,
    software: isSoftware(info),
    subgroups: [info.subgroupMinSize ?? 0, info.subgroupMaxSize ?? 0],
    features: [...adapter.features].sort(),
    limits: Object.fromEntries(limits.map((limit) => [limit, adapter.limits[limit] ?? 0])),
    node: process.version,
    dawn: version,
    dawnFlags,
  };
}
