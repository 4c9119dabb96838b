import type { Result } from "../report.ts";
import { attentionResults } from "./attention.ts";
import { linearResults } from "./linear.ts";
import { modelResults } from "./model.ts";

export interface SuiteOptions {
  /** Fewer rounds and a shorter prompt. */
  readonly quick: boolean;
  progress(text: string): void;
}

export async function cpuSuite({ quick, progress }: SuiteOptions): Promise<Result[]> {
  const rounds = quick ? 5 : 15;
  progress("matrix products");
  const linear = await linearResults(rounds);
  progress("attention kernels");
  const attention = await attentionResults(rounds);
  return [...linear, ...attention, ...(await modelResults(quick ? 4096 : 16384, 1, progress))];
}
