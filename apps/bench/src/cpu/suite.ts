import { cpuBackend } from "@infllm/backend-cpu";
import { modelResults } from "../embedded-model.ts";
import type { Result } from "../report.ts";
import { attentionResults } from "./attention.ts";
import { linearResults } from "./linear.ts";
import { loadingResults } from "./loading.ts";

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
  progress("loading from disk");
  const loading = await loadingResults(rounds);
  // The promise is made for 16k tokens; shorter prompts gain less.
  const long = { tokens: 16384, targets: { prefill: 2.5, decode: 2 } };
  const model = await modelResults(await cpuBackend(), { ...(quick ? { tokens: 4096 } : long), runs: 1, progress });
  return [...linear, ...attention, ...loading, ...model];
}
