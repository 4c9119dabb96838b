/** Steps recorded as CUDA graphs, with the scratch memory their launches refer to. */
import { UsageError } from "@infllm/tensor";
import type { RecordedStep } from "@infllm/tensor";
import { Event } from "./event.ts";
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

  /** Bytes of scratch that recorded steps hold. */
  get bytes(): number {
    return [...this.#live].reduce((sum, { scratch }) => sum + scratch.reduce((bytes, allocation) => bytes + allocation.bytes, 0), 0);
  }

  record(step: () => void): RecordedStep {
    const { machine } = this;
    const recording = this.#capture("record", step);
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

  /** Runs pieces as one graph, with events between them: launched one by one, small kernels would wait for the host. */
  async measure(pieces: readonly (() => void)[]): Promise<number[]> {
    const { machine } = this;
    const { context, stream } = machine;
    const events: Event[] = [];
    let recording: Recording | undefined;
    try {
      for (let i = 0; i <= pieces.length; i++) events.push(new Event(context, true));
      recording = this.#capture("measure", () => {
        events[0]?.recordInGraph(stream.handle);
        pieces.forEach((piece, i) => {
          machine.separate();
          piece();
          events[i + 1]?.recordInGraph(stream.handle);
        });
      });
      this.#live.add(recording);
      recording.graph.launch(stream.handle);
      machine.interrupted();
      await stream.finish();
      return events.slice(1).map((event, i) => event.since(events[i] ?? event) / 1000);
    } finally {
      if (recording !== undefined) this.#release(recording);
      for (const event of events) event.release();
    }
  }

  close(): void {
    for (const recording of this.#live) this.#release(recording);
  }

  #capture(what: string, step: () => void): Recording {
    this.useNow(what);
    const { machine } = this;
    let scratch: readonly Allocation[] = [];
    this.#recording = true;
    try {
      const graph = machine.stream.capture(() => {
        scratch = machine.withOwnScratch(step);
      });
      return { graph, scratch };
    } catch (error) {
      for (const allocation of scratch) allocation.free();
      throw error;
    } finally {
      this.#recording = false;
    }
  }

  #release(recording: Recording): void {
    if (!this.#live.delete(recording)) return;
    recording.graph.release();
    for (const allocation of recording.scratch) allocation.free();
  }
}
