/** Steps whose bind groups and parameters are made once. A replay only encodes the dispatches. */
import { UsageError } from "@infllm/tensor";
import type { RecordedStep } from "@infllm/tensor";
import type { Allocation } from "./buffer-pool.ts";
import { bufferUsage } from "./gpu-constants.ts";
import type { Command, Machine } from "./machine.ts";
import { PARAM_BYTES } from "./params.ts";
import { heldBy } from "./scratch.ts";

interface Recorded {
  readonly commands: readonly Command[];
  /** Parameters and scratch memory that the commands refer to. */
  readonly held: readonly Allocation[];
  /** Buffers of others that the commands refer to. */
  readonly uses: ReadonlySet<Allocation>;
}

export class Recorder {
  readonly #live = new Set<Recorded>();

  constructor(private readonly machine: Machine) {}

  /** @throws UsageError while a step is recorded, after close; DeviceLostError */
  useNow(what: string): void {
    this.machine.use();
    if (this.machine.recording !== undefined) {
      throw new UsageError(`${what} cannot be recorded: call it before or after record(), not inside.`);
    }
  }

  record(step: () => void): RecordedStep {
    this.useNow("record");
    const recorded = this.#make(step);
    this.#live.add(recorded);
    return {
      run: () => this.#run(recorded),
      release: () => this.#release(recorded),
    };
  }

  close(): void {
    for (const recorded of this.#live) this.#release(recorded);
  }

  #make(step: () => void): Recorded {
    const { machine } = this;
    const recording = machine.record(step);
    const { commands, binds, params } = recording;
    const held = heldBy(recording);
    try {
      const size = Math.max(1, params.length) * PARAM_BYTES;
      const uniform = machine.pool.allocate("A recorded step's parameters", size, bufferUsage.uniform | bufferUsage.copyTarget);
      held.push(uniform);
      const data = new Uint8Array(size);
      params.forEach((bytes, i) => data.set(bytes, i * PARAM_BYTES));
      machine.device.queue.writeBuffer(uniform.buffer, 0, data);
      const own = new Set(held);
      return {
        commands: commands.map((command, i) => {
          const { pipeline, bind } = binds[i] ?? { pipeline: command.pipeline, bind: [] };
          return { ...command, group: machine.bindGroup(pipeline, uniform.buffer, bind) };
        }),
        held,
        uses: new Set(binds.flatMap(({ bind }) => bind.map(({ allocation }) => allocation)).filter((each) => !own.has(each))),
      };
    } catch (error) {
      for (const allocation of held) allocation.free();
      throw error;
    }
  }

  #run(recorded: Recorded): void {
    this.useNow("A recorded step");
    if (!this.#live.has(recorded)) throw new UsageError("A recorded step is run after release(). Record it again.");
    for (const allocation of recorded.uses) {
      if (!this.machine.pool.holds(allocation)) {
        throw new UsageError("A recorded step uses a tensor, weight or cache after release(). Record it again with what replaced it.");
      }
    }
    for (const command of recorded.commands) this.machine.enqueue(command);
    this.machine.changed();
  }

  #release(recorded: Recorded): void {
    if (!this.#live.delete(recorded)) return;
    for (const allocation of recorded.held) allocation.free();
  }
}
