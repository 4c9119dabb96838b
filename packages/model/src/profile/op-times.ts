/** Where the time of a pass goes, op by op. */
import type { Backend } from "@infllm/tensor";

export type OpKind = "attention" | "selection" | "products" | "other";

const kinds: Readonly<Record<string, OpKind>> = {
  attendDense: "attention",
  attendBlocks: "attention",
  compressKeys: "selection",
  appendAndCompress: "selection",
  selectBlocks: "selection",
  linear: "products",
  gatedLinear: "products",
  normLinear: "products",
  normGatedLinear: "products",
  addLinear: "products",
};

/** All calls of one op. */
export interface OpTime {
  readonly op: string;
  readonly kind: OpKind;
  readonly calls: number;
  readonly seconds: number;
}

/** Where the time of an answer went. */
export interface Profile {
  /** All chunks of the prompt. */
  readonly prefill: readonly OpTime[];
  /** One step, the last query's. */
  readonly decode: readonly OpTime[];
}

/** An op that was not run yet. */
export interface PendingOp {
  readonly op: string;
  readonly run: () => void;
}

/**
 * Runs ops in order and times each: by the device's clock where the backend has `measure`, else by the host's, which on a
 * device that runs later counts the way there and back, too.
 */
export async function timeOps(backend: Backend, ops: readonly PendingOp[]): Promise<readonly number[]> {
  if (backend.measure !== undefined) return backend.measure(ops.map(({ run }) => run));
  const seconds: number[] = [];
  await backend.sync();
  for (const { run } of ops) {
    const before = performance.now();
    run();
    await backend.sync();
    seconds.push((performance.now() - before) / 1000);
  }
  return seconds;
}

/** Sums by op, over one pass or several. */
export class OpTimes {
  readonly #byOp = new Map<string, { calls: number; seconds: number }>();

  add(ops: readonly PendingOp[], seconds: readonly number[]): void {
    ops.forEach(({ op }, i) => {
      const sum = this.#byOp.get(op) ?? { calls: 0, seconds: 0 };
      this.#byOp.set(op, { calls: sum.calls + 1, seconds: sum.seconds + (seconds[i] ?? 0) });
    });
  }

  /** Longest first, for one of so many equal passes. */
  list(passes = 1): OpTime[] {
    return [...this.#byOp]
      .map(([op, { calls, seconds }]) => ({ op, kind: kinds[op] ?? "other", calls: calls / passes, seconds: seconds / passes }))
      .sort((a, b) => b.seconds - a.seconds);
  }
}
