/**
 * What every op needs: the GPU's memory, its queue and the kernels. An op is a function `(machine, args) => void` in
 * `launch/`, named as everywhere else; it checks its arguments (`checks.ts`) and enqueues launches:
 *
 *     export function swiglu(machine: Machine, { gateUp, out }: SwigluArgs): void {
 *       const to = activationRows(machine, "swiglu: out", out);
 *       const from = activationRows(machine, "swiglu: gateUp", gateUp, { rows: to.rows, columns: 2 * to.columns });
 *       machine.launch(`swiglu_${to.dtype}`, { grid: [to.rows], block: [256] }, (args) =>
 *         args.pointer(from.address).i32(from.rowStride).pointer(to.address).i32(to.rowStride).i32(to.columns));
 *     }
 *
 * The parameters are packed in the order of the kernel's signature: `pointer`, `i32`, `u32`, `i64`, `f32`, `bytes`, or
 * `struct((s) => s.pointer(a).i32(n))` for a structure passed by value. `rowStride` counts elements. An op allocates no
 * tensors and never waits: it may be recorded. Temporary memory comes from `scratch`, kernels that may be missing on this
 * GPU are asked for with `has`.
 */
import type { Driver } from "./driver.ts";
import { LAUNCH_CLUSTER, LAUNCH_OVERLAP } from "./driver.ts";
import type { Context, DeviceInfo } from "./context.ts";
import { KernelArgs } from "./kernel-args.ts";
import type { Allocation, MemoryPool } from "./memory-pool.ts";
import type { KernelModules } from "./module.ts";
import type { Stream } from "./stream.ts";
import { TensorMaps } from "./tensor-map.ts";
import type { MappedTensor } from "./tensor-map.ts";

export interface LaunchSize {
  /** Blocks of threads; missing dimensions are 1. */
  readonly grid: readonly [x: number, y?: number, z?: number];
  /** Threads of a block. */
  readonly block: readonly [x: number, y?: number, z?: number];
  /** Dynamic shared memory in bytes. */
  readonly shared?: number;
  /**
   * The kernel calls `wait_for_previous` before it touches what earlier kernels write, so it may start while the launch
   * just before it is still running. Ignored where `runsHopperCode` is false.
   */
  readonly overlap?: boolean;
  /** Blocks along x that share memory as a cluster, up to 16; only where `runsHopperCode`. */
  readonly cluster?: number;
}

interface LaunchConfig {
  readonly view: DataView;
  readonly bytes: Uint8Array;
}

/** Entries of the counters that kernels find zero and leave zero. */
const COUNTERS = 32768;
const CONFIG_BYTES = 56;
const ATTRIBUTE_BYTES = 72;
const MOST_ATTRIBUTES = 2;
/** Larger clusters must be allowed for each kernel. */
const PORTABLE_CLUSTER = 8;

export class Machine {
  readonly #args: KernelArgs;
  readonly #config: LaunchConfig;
  readonly #counters: Allocation;
  readonly #maps: TensorMaps;
  #scratch: Allocation | undefined;
  /** While a step is recorded: scratch that the recorded launches refer to. */
  #recorded: Allocation[] | undefined;
  readonly #clusters = new Map<string, number>();
  #last = "";
  #launches = 0;
  /** Must the next launch wait for all before it? */
  #apart = false;

  constructor(
    readonly context: Context,
    readonly pool: MemoryPool,
    readonly stream: Stream,
    readonly modules: KernelModules,
    /** The type of activations. */
    readonly activation: "bf16" | "f16",
    /** Does prefill on the `hopper` path sum block scores over a group's heads where they arise? */
    readonly headGroupFusion = true,
  ) {
    this.#args = new KernelArgs(context.driver);
    this.#maps = new TensorMaps(context.driver, context);
    this.#config = launchConfig(context.driver, stream.handle);
    this.#counters = pool.allocate("The counters of kernels", 4 * COUNTERS);
    stream.fill(this.#counters.address, 0, this.#counters.bytes);
  }

  get driver(): Driver {
    return this.context.driver;
  }

  get device(): DeviceInfo {
    return this.context.device;
  }

  /**
   * Does this GPU run the code compiled for compute capability 9.0? Newer ones get that of 8.0, in which kernels neither
   * wait for overlapping launches nor know clusters.
   */
  get runsHopperCode(): boolean {
    return this.device.major === 9;
  }

  /** Name of the kernel launched last, in enqueued order; empty after a copy or at the start of a recorded step. */
  get lastKernel(): string {
    return this.#last;
  }

  /** Launches so far. */
  get launches(): number {
    return this.#launches;
  }

  /** Bytes of temporary memory; that of recorded steps is theirs. */
  get scratchBytes(): number {
    return this.#counters.bytes + (this.#scratch?.bytes ?? 0);
  }

  /** Is this kernel built, and for this GPU? */
  has(kernel: string): boolean {
    return this.modules.has(kernel);
  }

  launch(kernel: string, size: LaunchSize, pack: (args: KernelArgs) => void): void {
    const handle = this.#prepare(kernel, size);
    pack(this.#args.reset());
    const status = this.driver.api.cuLaunchKernelEx(this.#config.bytes, handle, this.#args.pointers, null);
    if (status !== 0) this.context.check(status, `launching ${kernel} (${describe(size)})`);
    this.#last = kernel;
    this.#apart = false;
    this.#launches++;
  }

  /** How many clusters of a launch run at the same time: 0 where this GPU has none of that size. */
  clusters(kernel: string, size: LaunchSize & { readonly cluster: number }): number {
    if (!this.runsHopperCode || !this.has(kernel)) return 0;
    const key = `${kernel} ${size.cluster} ${size.shared ?? 0}`;
    let count = this.#clusters.get(key);
    if (count === undefined) {
      const out = new Int32Array(1);
      const handle = this.#prepare(kernel, size);
      const status = this.driver.api.cuOccupancyMaxActiveClusters(out, handle, this.#config.bytes);
      this.context.check(status, `asking how many clusters of ${kernel} (${describe(size)}) run at a time`);
      count = out[0] ?? 0;
      this.#clusters.set(key, count);
    }
    return count;
  }

  /**
   * Addresses of temporary memory, one for each size in bytes, aligned to 256: this op's until it returns, then the next
   * op's. Call it once an op.
   */
  scratch(what: string, ...bytes: readonly number[]): number[] {
    const starts: number[] = [];
    let total = 0;
    for (const size of bytes) {
      starts.push(total);
      total += Math.ceil(size / 256) * 256;
    }
    const base = this.#scratchOf(`Scratch memory of ${what}`, total);
    return starts.map((start) => base + start);
  }

  /** Address of `count` i32 that are zero before a kernel and that it must leave zero. */
  counters(count: number): number {
    if (count > COUNTERS) throw new RangeError(`${count} counters are wanted; there are ${COUNTERS}.`);
    return this.#counters.address;
  }

  /** A tensor for Hopper's copy engine: pass it with `args.bytes(map, TENSOR_MAP_ALIGNMENT)`. */
  tensorMap(tensor: MappedTensor): Uint8Array {
    return this.#maps.encode(tensor);
  }

  /** Notes that something other than a kernel was enqueued. */
  interrupted(): void {
    this.#last = "";
  }

  /** Keeps the next launch from starting while those before it run, so that an event between them means something. */
  separate(): void {
    this.#last = "";
    this.#apart = true;
  }

  /** Runs `step` with scratch of its own, which must outlive the recording. */
  withOwnScratch(step: () => void): readonly Allocation[] {
    const own: Allocation[] = [];
    this.#recorded = own;
    this.#last = "";
    try {
      step();
    } catch (error) {
      for (const allocation of own) allocation.free();
      throw error;
    } finally {
      this.#recorded = undefined;
      this.#last = "";
    }
    return own;
  }

  /** Writes a launch's size into the configuration; the kernel's handle. */
  #prepare(kernel: string, { grid, block, shared = 0, overlap = false, cluster = 1 }: LaunchSize): number {
    const { view } = this.#config;
    [...dimensions(grid), ...dimensions(block), shared].forEach((value, i) => view.setUint32(4 * i, value, true));
    const attributes: [id: number, ...values: number[]][] = [];
    if (overlap && !this.#apart && this.runsHopperCode) attributes.push([LAUNCH_OVERLAP, 1]);
    if (cluster > 1) attributes.push([LAUNCH_CLUSTER, cluster, 1, 1]);
    setAttributes(view, attributes);
    return this.modules.kernel(kernel, shared, cluster > PORTABLE_CLUSTER);
  }

  #scratchOf(what: string, bytes: number): number {
    if (this.#recorded !== undefined) {
      // Launches recorded before keep the smaller piece; the ops run one after the other and may share the largest.
      const fits = this.#recorded.find((allocation) => allocation.bytes >= bytes);
      if (fits !== undefined) return fits.address;
      const allocation = this.pool.allocate(what, bytes);
      this.#recorded.push(allocation);
      return allocation.address;
    }
    if (this.#scratch === undefined || this.#scratch.bytes < bytes) {
      this.#scratch?.free();
      this.#scratch = undefined;
      this.#scratch = this.pool.allocate(what, bytes);
    }
    return this.#scratch.address;
  }
}

function describe({ grid, block, shared = 0, cluster = 1 }: LaunchSize): string {
  const clusters = cluster > 1 ? ` in clusters of ${cluster}` : "";
  return `grid ${dimensions(grid).join("×")}${clusters}, ${dimensions(block).join("×")} threads, ${shared} bytes of shared memory`;
}

function dimensions([x, y = 1, z = 1]: readonly [number, number?, number?]): number[] {
  return [x, y, z];
}

/** A `CUlaunchConfig` on our stream, followed by room for its attributes. */
function launchConfig(driver: Driver, stream: number): LaunchConfig {
  const block = driver.memory.allocate(CONFIG_BYTES + MOST_ATTRIBUTES * ATTRIBUTE_BYTES);
  const view = new DataView(block.view);
  view.setBigUint64(32, BigInt(stream), true);
  view.setBigUint64(40, BigInt(block.address + CONFIG_BYTES), true);
  return { view, bytes: new Uint8Array(block.view, 0, CONFIG_BYTES) };
}

/** `CUlaunchAttribute`: its number, then 32-bit values from byte 8 on. */
function setAttributes(view: DataView, attributes: readonly (readonly [id: number, ...values: number[]])[]): void {
  view.setUint32(48, attributes.length, true);
  attributes.forEach(([id, ...values], i) => {
    const at = CONFIG_BYTES + i * ATTRIBUTE_BYTES;
    view.setUint32(at, id, true);
    values.forEach((value, word) => view.setUint32(at + 8 + 4 * word, value, true));
  });
}
