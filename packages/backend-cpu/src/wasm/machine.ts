/** What every op needs: the memory, the kernels on their threads, and scratch that grows on demand. */
import { UsageError } from "@infllm/tensor";
import { ARGUMENTS, ARGUMENT_BYTES } from "../abi.ts";
import type { OpNumber } from "../abi.ts";
import type { Allocation, Memory } from "./memory.ts";
import { aligned } from "./heap.ts";
import type { Threads } from "./threads.ts";

export class Machine {
  #scratch: Allocation | undefined;
  #table: Allocation | undefined;
  #closed = false;

  constructor(
    readonly memory: Memory,
    private readonly threads: Threads,
  ) {}

  get threadCount(): number {
    return this.threads.count;
  }

  /** Bytes of temporary memory, kept for the ops to come. */
  get scratchBytes(): number {
    return (this.#scratch?.bytes ?? 0) + (this.#table?.bytes ?? 0);
  }

  /** Runs tasks 0 … `tasks` − 1 of `op` with these argument words and `scratchBytes` for each thread; all are done on return. */
  run(op: OpNumber, words: Int32Array, tasks: number, scratchBytes = 0): void {
    if (words.byteLength > ARGUMENT_BYTES) throw new UsageError(`Op ${op} has more arguments than the kernels read.`);
    const perThread = aligned(scratchBytes);
    const scratch = this.#scratchOf(perThread * this.threads.count);
    this.memory.i32.set(words, ARGUMENTS / 4);
    this.threads.dispatch(op, tasks, scratch, perThread);
  }

  /** Address of memory for a list that the next op reads, `words` long; overwritten by the next call. */
  table(words: number): number {
    if (this.#table === undefined || this.#table.bytes < words * 4) {
      this.#table?.give();
      this.#table = undefined;
      this.#table = this.memory.take("The list of an op's tasks", Math.max(words * 8, 4096));
    }
    return this.#table.at;
  }

  /** @throws UsageError after `close` */
  use(): void {
    if (this.#closed) throw new UsageError("The cpu backend was closed. Make another with cpuBackend().");
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.threads.close();
  }

  #scratchOf(bytes: number): number {
    if (this.#scratch === undefined || this.#scratch.bytes < bytes) {
      this.#scratch?.give();
      this.#scratch = undefined;
      this.#scratch = this.memory.take("Scratch memory of an op", bytes);
    }
    return this.#scratch.at;
  }
}
