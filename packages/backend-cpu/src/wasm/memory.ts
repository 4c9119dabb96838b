/** One WebAssembly memory: weights, caches, activations and scratch, with views that follow its growth. */
import { OutOfMemoryError } from "@infllm/tensor";
import type { MemoryUse } from "@infllm/tensor";
import { RESERVED } from "../abi.ts";
import { needWebAssembly } from "./engine.ts";
import type { WasmMemory } from "./engine.ts";
import { Heap } from "./heap.ts";

const PAGE = 65536;
/** What 32-bit addresses reach. */
export const MAXIMUM_BYTES = 2 ** 32;
/** Grown by at least this, so that many small allocations do not each ask the engine. */
const GROWTH = 16 * 2 ** 20;

/** A piece of memory; `give` may be called twice. */
export interface Allocation {
  readonly at: number;
  readonly bytes: number;
  give(): void;
}

export class Memory {
  readonly wasm: WasmMemory;
  u8: Uint8Array = new Uint8Array();
  i32: Int32Array = new Int32Array();
  f32: Float32Array = new Float32Array();
  readonly #heap: Heap;
  readonly #limit: number;

  /** @throws RangeError when the engine cannot reserve the address range */
  constructor(limit: number, shared: boolean) {
    this.#limit = Math.min(MAXIMUM_BYTES, Math.floor(limit / PAGE) * PAGE);
    const { Memory: Pages } = needWebAssembly();
    this.wasm = new Pages({ initial: RESERVED / PAGE + 1, maximum: this.#limit / PAGE, shared });
    this.#heap = new Heap(RESERVED, this.#limit);
    this.#look();
  }

  use(): MemoryUse {
    return { used: this.#heap.used, available: this.#limit - RESERVED - this.#heap.used };
  }

  /** Uninitialised. @throws OutOfMemoryError */
  take(what: string, bytes: number): Allocation {
    const at = this.#heap.take(bytes);
    if (at === undefined) throw this.#tooLittle(what, bytes, this.#heap.largest);
    if (!this.#reach(at + bytes)) {
      this.#heap.give(at, bytes);
      throw this.#tooLittle(what, bytes, Math.max(0, this.u8.length - this.#heap.used - RESERVED));
    }
    let held = true;
    const give = (): void => {
      if (held) this.#heap.give(at, bytes);
      held = false;
    };
    return { at, bytes, give };
  }

  /** Makes bytes below `end` exist. False when the engine has no more. */
  #reach(end: number): boolean {
    if (end <= this.u8.length) return true;
    const needed = Math.ceil((end - this.u8.length) / PAGE);
    const roomy = Math.min(Math.max(needed, GROWTH / PAGE), (this.#limit - this.u8.length) / PAGE);
    for (const pages of [roomy, needed]) {
      try {
        this.wasm.grow(pages);
        this.#look();
        return true;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
    return false;
  }

  #look(): void {
    const { buffer } = this.wasm;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
  }

  #tooLittle(what: string, needed: number, available: number): OutOfMemoryError {
    const reason =
      this.#limit < MAXIMUM_BYTES ? "or raise memoryLimit (at most 4 GiB)." : "or use a backend without WebAssembly's 4 GiB limit.";
    return new OutOfMemoryError(what, needed, available, `Ask for less (shorter context, smaller weights), release something, ${reason}`);
  }
}
