/** The backend over WASM kernels: binds the ops to one machine. */
import { UsageError } from "@infllm/tensor";
import type { Capabilities, DType, DeviceTensor, HostArray, MemoryUse, NeuralOps, RecordedStep, WeightDType } from "@infllm/tensor";
import type { LayerCacheShape, SelectionOps } from "@infllm/block-selection";
import type { AttentionBackend, AttentionOps } from "@infllm/attention";
import { appendKv } from "../ops/append-kv.ts";
import { attendBlocks, attendDense } from "../ops/attend.ts";
import { ownTensor } from "../ops/checks.ts";
import { attendListed } from "../ops/attend-listed.ts";
import { compressKeys } from "../ops/compress-keys.ts";
import { embed } from "../ops/embed.ts";
import { linear } from "../ops/linear.ts";
import type { Op } from "../ops/op.ts";
import { readCache } from "../ops/read-cache.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { rotate } from "../ops/rotate.ts";
import { sample } from "../ops/sample.ts";
import { selectBlocks } from "../ops/select-blocks.ts";
import { swiglu } from "../ops/swiglu.ts";
import { CpuCache, cacheBytes } from "./cpu-cache.ts";
import { CpuTensor } from "./cpu-tensor.ts";
import { CpuWeight } from "./cpu-weight.ts";
import type { Machine } from "./machine.ts";

export type CpuBackend = AttentionBackend & { readonly neural: NeuralOps };

export function wasmBackend(machine: Machine, capabilities: Capabilities): CpuBackend {
  const queue = new Queue(machine);
  const bind = <Args>(op: Op<Args>) => (args: Args): void => queue.add(() => op(machine, args));
  const neural: NeuralOps = {
    allocateWeight(rows: number, columns: number, dtype: WeightDType) {
      machine.use();
      return new CpuWeight(machine, rows, columns, dtype);
    },
    embed: bind(embed),
    rmsNorm: bind(rmsNorm),
    linear: bind(linear),
    rotate: bind(rotate),
    swiglu: bind(swiglu),
    sample: bind(sample),
  };
  const selection: SelectionOps = {
    allocateCache(shape: LayerCacheShape) {
      machine.use();
      return new CpuCache(machine.memory, shape);
    },
    cacheBytes,
    appendKv: bind(appendKv),
    compressKeys: bind(compressKeys),
    selectBlocks: bind(selectBlocks),
    async readCache(...args: Parameters<SelectionOps["readCache"]>) {
      queue.useNow("readCache");
      return readCache(machine, ...args);
    },
  };
  const attention: AttentionOps = { attendDense: bind(attendDense), attendBlocks: bind(attendBlocks) };
  return {
    name: "cpu",
    capabilities,
    neural,
    selection,
    attention,
    host: {
      readNow(tensor) {
        queue.useNow("readNow");
        return ownTensor(machine, "readNow: tensor", tensor).toHost();
      },
      attendListed: bind(attendListed),
    },
    allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
      machine.use();
      return CpuTensor.allocate(machine.memory, dtype, shape);
    },
    write(tensor: DeviceTensor, data: HostArray, rowOffset = 0): void {
      queue.useNow("write");
      ownTensor(machine, "write: tensor", tensor).write(data, rowOffset);
    },
    async read(tensor: DeviceTensor): Promise<HostArray> {
      queue.useNow("read");
      return ownTensor(machine, "read: tensor", tensor).toHost();
    },
    record: (step) => queue.record(step),
    async sync(): Promise<void> {
      machine.use();
    },
    memory(): MemoryUse {
      machine.use();
      return { ...machine.memory.use(), scratch: machine.scratchBytes };
    },
    close: () => machine.close(),
  };
}

/** Runs ops at once, or collects them while a step is recorded. */
class Queue {
  #recording: (() => void)[] | undefined;

  constructor(private readonly machine: Machine) {}

  add(prepare: () => () => void): void {
    this.machine.use();
    const work = prepare();
    if (this.#recording) this.#recording.push(work);
    else work();
  }

  useNow(what: string): void {
    this.machine.use();
    if (this.#recording) throw new UsageError(`${what} cannot be recorded: call it before or after record(), not inside.`);
  }

  record(step: () => void): RecordedStep {
    this.useNow("record");
    const work: (() => void)[] = [];
    this.#recording = work;
    try {
      step();
    } finally {
      this.#recording = undefined;
    }
    let released = false;
    return {
      run: () => {
        this.useNow("A recorded step");
        if (released) throw new UsageError("A recorded step is run after release(). Record it again.");
        for (const run of work) run();
      },
      release() {
        released = true;
        work.length = 0;
      },
    };
  }
}
