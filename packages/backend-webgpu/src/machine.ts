/**
 * What every op needs: the GPU's memory, its queue and the kernels. An op is a function `(machine, args) => void` in
 * `launch/`, named as everywhere else; it checks its arguments (`checks.ts`) and enqueues launches:
 *
 *     machine.launch({
 *       kernel: "swiglu",
 *       bind: [from.bound(), to.bound()],
 *       params: (p) => p.u32(from.bound().start, from.rowStride, to.bound().start, to.rowStride, rows, to.columns),
 *       groups: [count],
 *       cost: rows * to.columns,
 *     });
 *
 * `bind` lists the storage buffers in the order of the kernel's bindings 1, 2, …; the uniform structure is binding 0.
 * Launches gather in a command encoder and are submitted when their cost reaches what the GPU does in a short while, or
 * when something waits. An op allocates no tensors and never waits: it may be recorded.
 */
import type { Context } from "./context.ts";
import type { Allocation, BufferPool } from "./buffer-pool.ts";
import { bufferUsage } from "./gpu-constants.ts";
import { PARAM_BYTES, Params } from "./params.ts";
import { Pipelines } from "./pipelines.ts";
import type { Constants, Pipeline } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";
import { Scratch, heldBy } from "./scratch.ts";
import type { RecordedMemory } from "./scratch.ts";
import { SubmitBudget } from "./submit-budget.ts";
import type { ElementType, Features, Tiles, Variant } from "./variants.ts";
import { tilesFor } from "./variants.ts";

/** A range of a buffer as a kernel sees it. */
export interface Bound {
  readonly allocation: Allocation;
  /** Bytes; a multiple of 256. */
  readonly offset: number;
  readonly bytes: number;
  /** The first element that is meant, counted from `offset`. */
  readonly start: number;
}

export interface Launch extends Omit<Variant, "element"> {
  readonly element?: ElementType;
  readonly constants?: Constants;
  readonly bind: readonly Bound[];
  readonly params: (params: Params) => Params;
  /** Workgroups; missing dimensions are 1. */
  readonly groups: readonly [x: number, y?: number, z?: number];
  /** Arithmetic operations, roughly: decides how much is submitted at once. */
  readonly cost: number;
}

/** A launch with everything made that can be made before it runs. */
export interface Command {
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  /** In the buffer that the group binds as uniform. */
  readonly paramsAt: number;
  readonly groups: readonly [number, number, number];
  readonly cost: number;
}

/** A step being recorded: its launches, their parameters and the memory they refer to. */
export interface Recording extends RecordedMemory {
  readonly commands: Omit<Command, "group">[];
  readonly binds: { readonly pipeline: Pipeline; readonly bind: readonly Bound[] }[];
  readonly params: Uint8Array<ArrayBuffer>[];
}

/** Launches between two submits whose parameters fit the arena. */
const ARENA_SLOTS = 1024;
const MOST_GROUPS = 4096;
/** Devices allow this many workgroups in a dimension at least. */
export const MOST_WORKGROUPS = 65535;

export class Machine {
  readonly pipelines: Pipelines;
  readonly tiles: Tiles;
  readonly budget = new SubmitBudget();
  profiler: Profiler | undefined;
  readonly #params = new Params();
  readonly #arena: Allocation;
  readonly #arenaData = new Uint8Array(ARENA_SLOTS * PARAM_BYTES);
  #arenaUsed = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #cost = 0;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #scratch: Scratch;
  #kept: { readonly key: string; readonly epoch: number; readonly bound: Bound } | undefined;
  #recording: Recording | undefined;
  /** Counts what may change device memory behind the ops' backs: writes and replayed steps. */
  #epoch = 0;
  readonly #placeholders: readonly [Allocation, Allocation];

  constructor(
    readonly context: Context,
    readonly pool: BufferPool,
    /** The type of activations. */
    readonly activation: ElementType,
    readonly features: Features,
  ) {
    this.pipelines = new Pipelines(context);
    this.#scratch = new Scratch(pool);
    this.tiles = tilesFor(features);
    this.#arena = pool.allocate("The kernels' parameters", ARENA_SLOTS * PARAM_BYTES, bufferUsage.uniform | bufferUsage.copyTarget);
    this.#placeholders = [pool.allocate("A placeholder", 256), pool.allocate("A placeholder", 256)];
    pool.beforeFree = () => {
      if (!context.lost) this.flush();
      this.#groups.clear();
    };
  }

  get device(): GPUDevice {
    return this.context.device;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get recording(): Recording | undefined {
    return this.#recording;
  }

  /** Most bytes of one binding. */
  get bindingBytes(): number {
    return this.device.limits.maxStorageBufferBindingSize;
  }

  /** @throws UsageError, DeviceLostError, OutOfMemoryError */
  use(): void {
    this.context.use();
    this.pool.check();
  }

  /** What to bind where a kernel's variant reads nothing. */
  get nothingRead(): Bound {
    return wholeOf(this.#placeholders[0]);
  }

  /** What to bind where a kernel's variant writes nothing. */
  get nothingWritten(): Bound {
    return wholeOf(this.#placeholders[1]);
  }

  launch(launch: Launch): void {
    const { constants = {}, bind, groups, cost } = launch;
    const [x, y = 1, z = 1] = groups;
    if (x === 0 || y === 0 || z === 0) return;
    const pipeline = this.pipelines.get({ ...launch, element: launch.element ?? this.activation }, constants);
    const params = launch.params(this.#params.reset()).bytes;
    const shared = { pipeline, groups: [x, y, z] as const, cost };
    if (this.#recording !== undefined) {
      const { commands, binds, params: recorded } = this.#recording;
      commands.push({ ...shared, paramsAt: recorded.length * PARAM_BYTES });
      binds.push({ pipeline, bind });
      recorded.push(params.slice());
      return;
    }
    if (this.#arenaUsed === ARENA_SLOTS) this.flush();
    const paramsAt = this.#arenaUsed++ * PARAM_BYTES;
    this.#arenaData.set(params, paramsAt);
    this.enqueue({ ...shared, group: this.#group(pipeline, bind), paramsAt });
  }

  /** Adds a launch to those of the next submit. */
  enqueue({ pipeline, group, paramsAt, groups, cost }: Command): void {
    if (this.#cost > 0 && this.#cost + cost > this.budget.operations) this.#submitKeepingArena();
    this.#encoder ??= this.device.createCommandEncoder();
    const pass = this.#beginPass(pipeline.label);
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, group, [paramsAt]);
    pass.dispatchWorkgroups(...groups);
    if (this.profiler?.byKernel === true) this.#endPass();
    this.#cost += cost;
  }

  /** Copies bytes between buffers, in order with the launches. Offsets and size are multiples of 4. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    if (bytes === 0) return;
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
    this.#cost += 1;
  }

  /** Writes host bytes, in order with the launches. Offset and size are multiples of 4. */
  write(buffer: GPUBuffer, offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    this.flush();
    this.device.queue.writeBuffer(buffer, offset, data as Uint8Array<ArrayBuffer>);
    this.#epoch++;
  }

  /** Device memory has changed by other means than an op. */
  changed(): void {
    this.#epoch++;
  }

  /** Submits everything that is enqueued. */
  flush(): void {
    if (this.#encoder === undefined) return;
    this.#submitKeepingArena();
    this.#arenaUsed = 0;
  }

  /** Resolves when all that was enqueued has run. */
  async finish(): Promise<void> {
    this.flush();
    await this.context.wait(this.device.queue.onSubmittedWorkDone());
    await this.context.wait(this.pool.settled());
    this.context.use();
  }

  /**
   * Temporary memory, one piece for each size in bytes: this op's until it returns, then the next op's. Call it once an op.
   * The pieces are buffers of their own, since a launch may not write into a buffer that it also reads.
   */
  scratch(what: string, ...sizes: readonly number[]): Bound[] {
    return sizes.map((bytes, slot) =>
      bytes === 0 ? this.nothingRead : wholeOf(this.#scratch.piece(`Scratch memory of ${what}`, slot, bytes, this.#recording)),
    );
  }

  /** Memory filled by `fill` for the ops that follow: filled again only when `key` differs or device memory has changed. */
  kept(key: string, what: string, bytes: number, fill: (memory: Bound) => void): Bound {
    const known = this.#kept;
    if (known !== undefined && known.key === key && known.epoch === this.#epoch) return known.bound;
    const bound = wholeOf(this.#scratch.kept(what, bytes, this.#recording));
    fill(bound);
    this.#kept = { key, epoch: this.#epoch, bound };
    return bound;
  }

  /** Runs `step` with its launches kept instead of enqueued. */
  record(step: () => void): Recording {
    const recording: Recording = { commands: [], binds: [], params: [], scratch: [], kept: [] };
    this.#recording = recording;
    this.#epoch++;
    try {
      step();
    } catch (error) {
      for (const allocation of heldBy(recording)) allocation.free();
      throw error;
    } finally {
      this.#recording = undefined;
      this.#epoch++;
    }
    return recording;
  }

  bindGroup(pipeline: Pipeline, params: GPUBuffer, bind: readonly Bound[]): GPUBindGroup {
    return this.device.createBindGroup({
      label: pipeline.label,
      layout: pipeline.layout,
      entries: [
        { binding: 0, resource: { buffer: params, offset: 0, size: PARAM_BYTES } },
        ...pipeline.storage.map((binding, i) => {
          const bound = bind[i] ?? this.nothingRead;
          return { binding, resource: { buffer: bound.allocation.buffer, offset: bound.offset, size: bound.bytes } };
        }),
      ],
    });
  }

  close(): void {
    this.#encoder = undefined;
    this.#pass = undefined;
    this.#groups.clear();
    this.pipelines.close();
  }

  /** Parameters stay where they are: launches of the submitted part have read theirs when later ones are written. */
  #submitKeepingArena(): void {
    const encoder = this.#encoder;
    if (encoder === undefined) return;
    this.#endPass();
    const { queue } = this.device;
    queue.writeBuffer(this.#arena.buffer, 0, this.#arenaData, 0, this.#arenaUsed * PARAM_BYTES);
    this.profiler?.resolve(encoder);
    queue.submit([encoder.finish()]);
    this.#encoder = undefined;
    this.budget.submitted(this.#cost, queue);
    this.#cost = 0;
  }

  #beginPass(label: string): GPUComputePassEncoder {
    if (this.#pass !== undefined) return this.#pass;
    const timestampWrites = this.profiler?.next(label);
    this.#pass = this.#encoder?.beginComputePass(timestampWrites ? { label, timestampWrites } : { label });
    if (this.#pass === undefined) throw new RangeError("No encoder to begin a pass with.");
    return this.#pass;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  #group(pipeline: Pipeline, bind: readonly Bound[]): GPUBindGroup {
    const key = `${pipeline.layoutId} ${bind.map(({ allocation, offset, bytes }) => `${allocation.id}+${offset}:${bytes}`).join(" ")}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    if (this.#groups.size >= MOST_GROUPS) this.#groups.clear();
    const group = this.bindGroup(pipeline, this.#arena.buffer, bind);
    this.#groups.set(key, group);
    return group;
  }
}

function wholeOf(allocation: Allocation): Bound {
  return { allocation, offset: 0, bytes: allocation.bytes, start: 0 };
}
