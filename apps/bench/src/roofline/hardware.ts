/** What a machine can do at best: the two numbers of a roofline. */
import { BadUsageError } from "@infllm/command";
import type { ResultRecord } from "../results/record.ts";
import { machineOf } from "../results/record.ts";

export interface Hardware {
  readonly name: string;
  /** Matrix FLOP/s in the type of the activations. */
  readonly flops: number;
  /** Bytes per second of memory. */
  readonly bandwidth: number;
  /** Bytes of a weight, a cached key or value element, and an activation. */
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly activationBytes: number;
}

const sixteenBit = { weightBytes: 2, cacheBytes: 2, activationBytes: 2 };

/** bf16 without sparsity, f32 accumulation, from the vendors' data sheets (SXM where there is a choice). */
const presets: readonly Hardware[] = [
  { name: "h100", flops: 989e12, bandwidth: 3.35e12, ...sixteenBit },
  { name: "h200", flops: 989e12, bandwidth: 4.8e12, ...sixteenBit },
  { name: "a100", flops: 312e12, bandwidth: 2.039e12, ...sixteenBit },
  { name: "rtx4090", flops: 165.2e12, bandwidth: 1.008e12, ...sixteenBit },
];

export const presetNames: readonly string[] = presets.map(({ name }) => name);

/** @throws BadUsageError naming the presets */
export function presetNamed(name: string): Hardware {
  const found = presets.find((preset) => preset.name === name);
  if (found === undefined) throw new BadUsageError(`There is no hardware "${name}". Known are ${presetNames.join(", ")}, and measured.`);
  return found;
}

/** Every machine whose ceilings the `kernels` suite measured, by the machine's name. */
export function measuredHardware(records: readonly ResultRecord[]): Map<string, Hardware> {
  const found = new Map<string, { flops?: number; bandwidth?: number }>();
  for (const { suite, cell, figures, environment, status } of records) {
    if (suite !== "kernels" || status !== "done") continue;
    const machine = machineOf(environment);
    const ceilings = found.get(machine) ?? {};
    const { flopPerSecond, bytesPerSecond } = figures;
    if (cell["op"] === "product" && typeof flopPerSecond === "number") ceilings.flops = Math.max(ceilings.flops ?? 0, flopPerSecond);
    if (cell["op"] === "copy" && typeof bytesPerSecond === "number") ceilings.bandwidth = Math.max(ceilings.bandwidth ?? 0, bytesPerSecond);
    found.set(machine, ceilings);
  }
  const whole = [...found].flatMap(([name, { flops, bandwidth }]): [string, Hardware][] => {
    if (flops === undefined || bandwidth === undefined) return [];
    // The cpu backend computes and caches in f32; 16-bit weights are widened as they are read.
    return [[name, { name, flops, bandwidth, weightBytes: 2, cacheBytes: 4, activationBytes: 4 }]];
  });
  return new Map(whole);
}
