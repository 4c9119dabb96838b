/** Runs the tasks of an op on the calling thread and the workers; returns when all are done. */
import { DeviceLostError } from "@infllm/tensor";
import { ARGUMENTS, CONTROL, CONTROL_WORDS, control } from "../abi.ts";
import type { OpNumber } from "../abi.ts";
import type { KernelRun } from "./kernels.ts";
import type { RunningWorker } from "./workers.ts";

/** Checks this often whether the workers are done before sleeping: tasks of one op end close together. */
const SPINS = 20000;
/** Milliseconds of one sleep; a missed wake-up costs no more than this. */
const NAP = 1;

export class Threads {
  readonly #words: Int32Array;
  readonly #canWait: boolean;

  constructor(
    buffer: ArrayBufferLike,
    private readonly run: KernelRun,
    private readonly workers: readonly RunningWorker[],
  ) {
    this.#words = new Int32Array(buffer, CONTROL, CONTROL_WORDS);
    this.#canWait = workers.length > 0 && mayWait(this.#words);
  }

  get count(): number {
    return this.workers.length + 1;
  }

  /** `scratch` is the calling thread's, `scratchBytes` from the next thread's. @throws DeviceLostError when a kernel trapped */
  dispatch(op: OpNumber, tasks: number, scratch: number, scratchBytes: number): void {
    if (this.workers.length === 0 || tasks < 2) {
      for (let task = 0; task < tasks; task++) this.run(op, ARGUMENTS, task, scratch);
      return;
    }
    const words = this.#words;
    const base = words[control.end] as number;
    words[control.base] = base;
    words[control.op] = op;
    words[control.scratch] = scratch;
    words[control.scratchBytes] = scratchBytes;
    const end = (base + tasks) | 0;
    Atomics.store(words, control.end, end);
    Atomics.notify(words, control.end);
    try {
      this.#work(op, base, end, scratch);
    } finally {
      this.#finish(end);
    }
    if (Atomics.exchange(words, control.failed, 0) !== 0) {
      throw new DeviceLostError("A kernel trapped in a worker thread; results are lost. Close this backend and make another.");
    }
  }

  /** Takes tasks until none is left. */
  #work(op: OpNumber, base: number, end: number, scratch: number): void {
    const words = this.#words;
    for (;;) {
      const next = Atomics.load(words, control.next);
      if (next === end) return;
      if (Atomics.compareExchange(words, control.next, next, (next + 1) | 0) !== next) continue;
      try {
        this.run(op, ARGUMENTS, (next - base) | 0, scratch);
      } finally {
        Atomics.add(words, control.done, 1);
      }
    }
  }

  /** Waits for the workers; after a trap on this thread they may have taken tasks that are still running. */
  #finish(end: number): void {
    const words = this.#words;
    // After a trap here, what nobody has taken is dropped.
    let next = Atomics.load(words, control.next);
    while (next !== end) {
      if (Atomics.compareExchange(words, control.next, next, (next + 1) | 0) === next) Atomics.add(words, control.done, 1);
      next = Atomics.load(words, control.next);
    }
    for (let spins = SPINS; ; ) {
      const done = Atomics.load(words, control.done);
      if (done === end) return;
      if (spins-- <= 0 && this.#canWait) Atomics.wait(words, control.done, done, NAP);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.stop()));
  }
}

/** Browsers forbid waiting on the main thread. */
function mayWait(words: Int32Array): boolean {
  try {
    Atomics.wait(words, control.failed, 0, 0);
    return true;
  } catch {
    return false;
  }
}
