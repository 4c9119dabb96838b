/** Passes of one sequence through a network: what the host writes before each, and recorded steps for those that repeat. */
import { BatchState } from "@infllm/attention";
import type { CachedSequence } from "@infllm/attention";
import { UsageError } from "@infllm/tensor";
import type { DeviceTensor, RecordedStep } from "@infllm/tensor";
import { forward, forwardLayers, projectRows } from "../forward/forward.ts";
import type { Network, Rows } from "../forward/forward.ts";
import { collectingBackend } from "../profile/collect-ops.ts";
import { timeOps } from "../profile/op-times.ts";
import type { OpTimes } from "../profile/op-times.ts";

/** How the next token is drawn: see `SampleArgs` of the backend contract. */
export interface Draw {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  /** In [0, 1). */
  readonly uniform: number;
}

/** What rows whose logits are all wanted need beside the activations. */
interface CheckBuffers {
  readonly rows: number;
  /** f32 `[rows, vocabulary]` */
  readonly logits: DeviceTensor;
  /** f32 `[rows, 4]` */
  readonly settings: DeviceTensor;
  /** i32 `[rows]` */
  readonly sampled: DeviceTensor;
}

/** Enqueues passes over the tokens that follow those in the cache. Nothing here waits but what returns a promise. */
export class Passes {
  #network: Network;
  /** Are ops put on a list to be timed, instead of being run or recorded? */
  #collecting = false;
  readonly #state: BatchState;
  readonly #sequence: CachedSequence;
  readonly #steps = new Map<string, RecordedStep>();
  #checks: CheckBuffers | undefined;
  /** What `activations.settings` holds. */
  #settings = "";

  /** @param rows most rows of a pass */
  constructor(network: Network, rows: number) {
    this.#network = network;
    this.#state = BatchState.allocate(network.backend, network.cache, { rows, sequences: 1 });
    this.#sequence = network.cache.addSequence();
  }

  /** Tokens whose keys and values are in the cache once everything that is enqueued has run. */
  get length(): number {
    return this.#sequence.length;
  }

  /** Runs new tokens through all layers; when `complete`, `project` may follow. */
  layers(ids: readonly number[], sparse: boolean, complete: boolean): void {
    this.#append(ids);
    const { batch, positions } = this.#state;
    forwardLayers(this.#network, { batch, positions, sparse }, complete);
  }

  /** Logits of rows of the last pass, to the first rows of `logits`. */
  project(rows: Rows, logits: DeviceTensor): void {
    projectRows(this.#network, rows, logits);
  }

  /** The last tokens of a prompt; `drawn` then tells the token after them. */
  complete(ids: readonly number[], sparse: boolean, draw: Draw): void {
    this.layers(ids, sparse, true);
    const { activations } = this.#network;
    this.#writeDraw(draw);
    this.project([ids.length - 1, ids.length], activations.logits);
    this.#sample(activations);
  }

  /** One row: the token `id`, or the one drawn last, which is on the device. `drawn` then tells the token after it. */
  decode(sparse: boolean, draw: Draw, id?: number): void {
    const { backend, activations } = this.#network;
    if (id !== undefined) backend.write(activations.sampled, Int32Array.of(id));
    this.#state.set([{ sequence: this.#sequence, count: 1 }]);
    this.#writeDraw(draw);
    this.#step(`decode ${sparse}`, () => {
      const { batch, positions } = this.#state;
      forward(this.#network, { batch, positions, sparse, ids: activations.sampled, logitRows: [0, 1] });
      this.#sample(activations);
    });
  }

  /** Rows of which each draws the token after it, as `decode` would; `checked` then tells them. */
  check(ids: readonly number[], sparse: boolean, draws: readonly Draw[]): void {
    const buffers = this.#checkBuffers(ids.length);
    const rows = { rows: [0, ids.length] } as const;
    this.#append(ids);
    this.#network.backend.write(buffers.settings, Float32Array.from(draws.flatMap(settings)));
    this.#step(`check ${ids.length} ${sparse}`, () => {
      const { batch, positions } = this.#state;
      forwardLayers(this.#network, { batch, positions, sparse }, true);
      this.project([0, ids.length], buffers.logits);
      this.#sample({ logits: buffers.logits.view(rows), settings: buffers.settings.view(rows), sampled: buffers.sampled.view(rows) });
    });
  }

  /**
   * Makes room for `rows` rows of `check`, so that it allocates nothing. What earlier ones left is gone when this is true.
   * @throws OutOfMemoryError
   */
  prepareChecks(rows: number): boolean {
    if (this.#checks !== undefined && this.#checks.rows >= rows) return false;
    this.#allocateChecks(rows);
    return true;
  }

  /** Runs what `enqueue` enqueues op by op, and adds the time of each. */
  async timed(times: OpTimes, enqueue: () => void): Promise<void> {
    const network = this.#network;
    const { backend, ops } = collectingBackend(network.backend);
    this.#network = { ...network, backend };
    this.#collecting = true;
    try {
      enqueue();
    } finally {
      this.#network = network;
      this.#collecting = false;
    }
    times.add(ops, await timeOps(network.backend, ops));
  }

  /** The token that the last `complete` or `decode` enqueued draws; −1 if its logits are not finite. */
  async drawn(): Promise<number> {
    const [drawn = -1] = await this.#network.backend.read(this.#network.activations.sampled);
    return drawn;
  }

  /** The tokens that the last `check` of `rows` rows drew. */
  async checked(rows: number): Promise<ArrayLike<number>> {
    return this.#network.backend.read(this.#checkBuffers(rows).sampled.view({ rows: [0, rows] }));
  }

  /** f32 `[1, vocabulary]`: logits of row 0 of `decode` or the last of `complete`, or of a row of `check`. */
  logits(checkRow?: number): DeviceTensor {
    if (checkRow === undefined) return this.#network.activations.logits;
    return this.#checkBuffers(checkRow + 1).logits.view({ rows: [checkRow, checkRow + 1] });
  }

  /** Forgets the tokens from `length` on. */
  truncate(length: number): void {
    this.#sequence.truncate(length);
  }

  release(): void {
    for (const step of this.#steps.values()) step.release();
    this.#releaseChecks();
    this.#state.release();
    this.#sequence.release();
  }

  #append(ids: readonly number[]): void {
    const { backend, activations } = this.#network;
    this.#state.set([{ sequence: this.#sequence, count: ids.length }]);
    backend.write(activations.ids, Int32Array.from(ids));
  }

  /** Runs ops that are recorded when they come for the first time. */
  #step(name: string, ops: () => void): void {
    if (this.#collecting) return ops();
    let step = this.#steps.get(name);
    if (step === undefined) {
      step = this.#network.backend.record(ops);
      this.#steps.set(name, step);
    }
    step.run();
  }

  /** Written only where it differs: the most likely token is taken whatever the uniform number. */
  #writeDraw(draw: Draw): void {
    const values = settings(draw);
    if (values.join() === this.#settings) return;
    this.#settings = values.join();
    this.#network.backend.write(this.#network.activations.settings, Float32Array.from(values));
  }

  #sample({ logits, settings, sampled }: Pick<CheckBuffers, "logits" | "settings" | "sampled">): void {
    this.#network.backend.neural.sample({ logits, settings, out: sampled });
  }

  #checkBuffers(rows: number): CheckBuffers {
    if (this.#checks === undefined || this.#checks.rows < rows) throw new UsageError(`A check of ${rows} rows was not prepared.`);
    return this.#checks;
  }

  #allocateChecks(rows: number): void {
    this.#releaseChecks();
    const { backend, config } = this.#network;
    const owned: DeviceTensor[] = [];
    const allocate = (dtype: "f32" | "i32", ...shape: number[]): DeviceTensor => {
      const tensor = backend.allocate(dtype, shape);
      owned.push(tensor);
      return tensor;
    };
    try {
      const [logits, settings, sampled] = [allocate("f32", rows, config.vocabulary), allocate("f32", rows, 4), allocate("i32", rows)];
      this.#checks = { rows, logits, settings, sampled };
    } catch (error) {
      for (const tensor of owned) tensor.release();
      throw error;
    }
  }

  /** With them go the recorded steps that write to them. */
  #releaseChecks(): void {
    if (this.#checks === undefined) return;
    for (const [name, step] of this.#steps) {
      if (!name.startsWith("check")) continue;
      step.release();
      this.#steps.delete(name);
    }
    const { logits, settings, sampled } = this.#checks;
    for (const tensor of [logits, settings, sampled]) tensor.release();
    this.#checks = undefined;
  }
}

/** A row of `SampleArgs.settings`. */
function settings({ temperature, topK, topP, uniform }: Draw): number[] {
  return [temperature, topK, topP, temperature === 0 ? 0 : uniform];
}
