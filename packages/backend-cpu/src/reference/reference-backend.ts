/**
 * The definition of every op: plain loops over f32 memory with float64 sums, one small file per op. Nothing here is
 * tuned; faster backends are checked against it.
 */
import { UsageError } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, MemoryUse, NeuralOps, RecordedStep, WeightDType } from "@infllm/tensor";
import type { LayerCacheShape, SelectionOps } from "@infllm/block-selection";
import type { AttentionBackend, AttentionOps } from "@infllm/attention";
import { appendKv } from "./append-kv.ts";
import { attendBlocks } from "./attend-blocks.ts";
import { attendDense } from "./attend-dense.ts";
import { attendListed } from "./attend-listed.ts";
import { capabilities } from "./capabilities.ts";
import { ownTensor } from "./checks.ts";
import { compressKeys } from "./compress-keys.ts";
import { embed } from "./embed.ts";
import { ReferenceCache, cacheBytes } from "./layer-cache.ts";
import { linear } from "./linear.ts";
import { Memory } from "./memory.ts";
import { readCache } from "./read-cache.ts";
import { ReferenceTensor } from "./reference-tensor.ts";
import { rmsNorm } from "./rms-norm.ts";
import { rotate } from "./rotate.ts";
import { sample } from "./sample.ts";
import { selectBlocks } from "./select-blocks.ts";
import { swiglu } from "./swiglu.ts";
import { ReferenceWeight } from "./weight.ts";

export interface ReferenceOptions {
  /** Bytes that tensors, weights and caches may take together; 8 GiB when absent. */
  readonly memoryLimit?: number;
}

export type ReferenceBackend = AttentionBackend & { readonly neural: NeuralOps };

/** An op checks its arguments when it is called and returns the work that is left. */
type Prepare<Args> = (args: Args) => () => void;

export function referenceBackend(options: ReferenceOptions = {}): ReferenceBackend {
  const memory = new Memory(options.memoryLimit ?? 8 * 2 ** 30);
  let closed = false;
  let recording: (() => void)[] | undefined;

  function use(): void {
    if (closed) throw new UsageError("The reference backend was closed. Make another with referenceBackend().");
  }
  function useNow(what: string): void {
    use();
    if (recording) throw new UsageError(`${what} cannot be recorded: call it before or after record(), not inside.`);
  }
  /** Runs the op at once, or adds it to the step being recorded. */
  function op<Args>(prepare: Prepare<Args>): (args: Args) => void {
    return (args) => {
      use();
      const work = prepare(args);
      if (recording) recording.push(work);
      else work();
    };
  }

  const neural: NeuralOps = {
    allocateWeight(rows: number, columns: number, dtype: WeightDType) {
      use();
      return new ReferenceWeight(memory, rows, columns, dtype);
    },
    embed: op(embed),
    rmsNorm: op(rmsNorm),
    linear: op(linear),
    rotate: op(rotate),
    swiglu: op(swiglu),
    sample: op(sample),
  };
  const selection: SelectionOps = {
    allocateCache(shape: LayerCacheShape) {
      use();
      return new ReferenceCache(memory, shape);
    },
    cacheBytes,
    appendKv: op(appendKv),
    compressKeys: op(compressKeys),
    selectBlocks: op(selectBlocks),
    async readCache(...args: Parameters<SelectionOps["readCache"]>) {
      useNow("readCache");
      return readCache(...args);
    },
  };
  const attention: AttentionOps = { attendDense: op(attendDense), attendBlocks: op(attendBlocks) };

  return {
    name: "cpu-reference",
    capabilities,
    neural,
    selection,
    attention,
    host: {
      readNow(tensor) {
        useNow("readNow");
        return ownTensor("readNow: tensor", tensor).toHost();
      },
      attendListed: op(attendListed),
    },
    allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
      use();
      return ReferenceTensor.allocate(memory, dtype, shape);
    },
    write(tensor: DeviceTensor, data: HostArray, rowOffset = 0): void {
      useNow("write");
      ownTensor("write: tensor", tensor).write(data, rowOffset);
    },
    async read(tensor: DeviceTensor): Promise<HostArray> {
      useNow("read");
      return ownTensor("read: tensor", tensor).toHost();
    },
    record(step: () => void): RecordedStep {
      useNow("record");
      const work: (() => void)[] = [];
      recording = work;
      try {
        step();
      } finally {
        recording = undefined;
      }
      return {
        run() {
          useNow("A recorded step");
          for (const run of work) run();
        },
        release() {
          work.length = 0;
        },
      };
    },
    async sync(): Promise<void> {
      use();
    },
    memory(): MemoryUse {
      use();
      return { used: memory.used, available: memory.available };
    },
    async close(): Promise<void> {
      closed = true;
    },
  };
}
