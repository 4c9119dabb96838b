/** `--blocks`, `--window`, `--dense-len`, `--lse`: numbers of sparse attention that override the model's own. */
import { sparseConfig, type LseMode, type SparseConfig } from "@infllm/block-selection";
import { Option, type Command } from "commander";
import { usageErrors } from "./exit-codes.ts";
import { integer, largestLength } from "./options.ts";

export interface SparseOptions {
  readonly blocks?: number;
  readonly window?: number;
  readonly denseLen?: number;
  readonly lse?: LseMode;
}

export function addSparseOptions(command: Command): Command {
  const whole = (flag: string, text: string, min: number): Option =>
    new Option(flag, text).argParser(integer({ min, max: largestLength }));
  return command
    .addOption(whole("--blocks <count>", "blocks a query sees besides the window (top-k)", 1))
    .addOption(whole("--window <tokens>", "sliding window that every query sees; whole blocks", 0))
    .addOption(whole("--dense-len <tokens>", "attend sparsely from this length on; 0: always", -1))
    .addOption(new Option("--lse <kind>", "normalise scores by fine or coarse keys").choices(["exact", "approx"]));
}

/** What was given, in the library's names; undefined when nothing was. */
export function sparseOverrides(options: SparseOptions): Partial<SparseConfig> | undefined {
  const overrides = {
    ...(options.blocks !== undefined && { topk: options.blocks }),
    ...(options.window !== undefined && { windowSize: options.window }),
    ...(options.denseLen !== undefined && { denseLen: options.denseLen }),
    ...(options.lse !== undefined && { lse: options.lse }),
  };
  return Object.keys(overrides).length === 0 ? undefined : overrides;
}

/** @throws BadUsageError when the overrides do not go with the model's numbers */
export function checkOverrides(model: SparseConfig | undefined, overrides: Partial<SparseConfig> | undefined): void {
  if (overrides) usageErrors(() => sparseConfig({ ...model, ...overrides }));
}
