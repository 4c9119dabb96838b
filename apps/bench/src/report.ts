/** Results as a table for people or as JSON for scripts. */
import type { Sample } from "./measure.ts";

export interface Result {
  readonly name: string;
  readonly value: number;
  /** Quartiles of the value; absent for ratios of medians. */
  readonly low?: number;
  readonly high?: number;
  readonly unit: string;
  /** What the project promises; at least this much. */
  readonly target?: number;
}

/** Work done in a second: `work` over each of the sample's times, the slow quartile first. */
export function rate(name: string, work: number, sample: Sample, unit: string, target?: number): Result {
  const result = { name, value: work / sample.median, low: work / sample.high, high: work / sample.low, unit };
  return target === undefined ? result : { ...result, target };
}

export function ratio(name: string, value: number, target?: number): Result {
  return target === undefined ? { name, value, unit: "x" } : { name, value, unit: "x", target };
}

export function table(results: readonly Result[]): string {
  const rows = results.map(({ name, value, low, high, unit, target }) => [
    name,
    `${figure(value)} ${unit}`,
    low === undefined || high === undefined ? "" : `${figure(low)} to ${figure(high)}`,
    target === undefined ? "" : `${figure(target)} ${unit}: ${value >= target ? "reached" : "MISSED"}`,
  ]);
  const all = [["", "median", "quartiles", "target"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n");
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
