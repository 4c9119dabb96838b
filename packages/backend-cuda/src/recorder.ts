/** Steps recorded as CUDA graphs, with the scratch memory their launches refer to. */
import { UsageError } from "@infllm/tensor";
import type { RecordedStep } from "@infllm/tensor";
import type { Graph } from "./graph.ts";
import type { Machine } from "./machine.ts";
import type { Allocation } from "./memory-pool.ts";

interface Recording {
  readonly graph: Graph;
  readonly scratch: readonly Allocation[];
}

export class Recorder {
  #recording = false;
  readonly #live = new Set<Recording>();

  constructor(private readonly machine: Machine) {}

  /** @throws UsageError while a step is recorded, after close; DeviceLostError */
  useNow(what: string): void {
    this.machine.context.use();
    if (this.#recording) throw new UsageError(`${what} cannot be recorded: call it before or after record(), not inside.`);
  }

  record(step: () => void): RecordedStep {
    this.useNow("record");
    const { machine } = this;
    let scratch: readonly Allocation[] = [];
    this.#recording = true;
    let recording: Recording;
    try {
      const graph = machine.stream.capture(() => {
        scratch = machine.withOwnScratch(step);
      });
      recording = { graph, scratch };
    } catch (error) {
      for (const allocation of scratch) allocation.free();
      throw error;
    } finally {
      this.#recording = false;
    }
    this.#live.add(recording);
    return {
      run: () => {
        this.useNow("A recorded step");
        if (!this.#live.has(recording)) throw new UsageError("A recorded step is run after release(). Record it again.");
        recording.graph.launch(machine.stream.handle);
        machine.interrupted();
      },
      release: () => this.#release(recording),
    };
  }

  close(): void {
    for (const recording of this.#live) this.#release(recording);
  }

  #release(recording: Recording): void {
    if (!this.#live.delete(recording)) return;
    recording.graph.release();
    for (const allocation of recording.scratch) allocation.free();
  }
}
