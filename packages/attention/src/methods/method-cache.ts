/** A layer's cache under a method: the backend's own, and beside it keys and values in token order. */
import { UsageError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import type { AppendKvArgs, LayerCache, LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import type { AttendDenseArgs } from "../contracts.ts";
import type { AttentionMethod, HostSteeredBackend, LayerPlace, SequenceAttention } from "./method.ts";
import type { SequenceRows } from "./sequence-rows.ts";

/** What a method keeps of one sequence. */
interface MethodSequence {
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  /** Tokens appended. */
  length: number;
  /** Made when heads are known, with the first queries. */
  attention: SequenceAttention | undefined;
}

export class MethodCache implements LayerCache {
  readonly #sequences = new Map<number, MethodSequence>();
  #starts: DeviceTensor | undefined;

  constructor(
    private readonly backend: HostSteeredBackend,
    private readonly method: AttentionMethod,
    private readonly place: Pick<LayerPlace, "layer" | "rotation">,
    readonly inner: LayerCache,
  ) {}

  get shape(): LayerCacheShape {
    return this.inner.shape;
  }

  get bytes(): number {
    return this.inner.bytes + orderedBytes(this.shape);
  }

  /** Keeps the rows' keys and values; at position 0 a new sequence begins. */
  append(rows: SequenceRows, { k, v, batch }: AppendKvArgs): void {
    const sequence = this.#sequenceAt(rows, batch);
    const own = { rows: [rows.start, rows.start + rows.count] } as const;
    this.backend.write(sequence.k, this.backend.host.readNow(k.view(own)), rows.first);
    this.backend.write(sequence.v, this.backend.host.readNow(v.view(own)), rows.first);
    sequence.length = rows.first + rows.count;
  }

  attend(rows: SequenceRows, args: AttendDenseArgs): void {
    const { start, count, first } = rows;
    const sequence = this.#sequences.get(rows.page);
    if (sequence === undefined || sequence.length < first + count) {
      throw new UsageError(`Method ${this.method.name}: rows attend before their keys were appended.`);
    }
    const own = { rows: [start, start + count] } as const;
    const q = args.q.view(own);
    sequence.attention ??= this.#begin(args, sequence);
    sequence.attention.attend({
      first, q, rows: count, k: sequence.k, v: sequence.v, scale: args.scale, out: args.out.view(own),
      attendDense: (out) => this.backend.attention.attendDense({ ...args, q, out, cache: this.inner, batch: this.#alone(rows, args.batch) }),
    });
  }

  release(): void {
    for (const page of this.#sequences.keys()) this.#drop(page);
    this.#starts?.release();
    this.#starts = undefined;
    this.inner.release();
  }

  #sequenceAt({ first, page }: SequenceRows, batch: SequenceBatch): MethodSequence {
    if (first === 0) this.#drop(page);
    const known = this.#sequences.get(page);
    if (known !== undefined) {
      if (first === known.length || (first < known.length && this.method.model.everyQuery !== true)) return known;
      throw new UsageError(
        `Method ${this.method.name}: rows from position ${first} follow ${known.length} tokens; it reads a sequence in order, from its start.`,
      );
    }
    if (first > 0) throw new UsageError(`Method ${this.method.name}: a sequence begins at position ${first}; it must begin at 0.`);
    const { kvHeads, headDim } = this.shape;
    const allocate = () => this.backend.allocate(this.backend.capabilities.activation, [batch.maxKvLength, kvHeads * headDim]);
    const begun: MethodSequence = { k: allocate(), v: allocate(), length: 0, attention: undefined };
    this.#sequences.set(page, begun);
    return begun;
  }

  #begin(args: AttendDenseArgs, { k }: MethodSequence): SequenceAttention {
    const { kvHeads, headDim } = this.shape;
    const heads = args.q.shape.slice(1).reduce((product, axis) => product * axis, 1) / headDim;
    if (this.method.begin === undefined) throw new UsageError(`Method ${this.method.name} has no attention of its own.`);
    return this.method.begin({ ...this.place, backend: this.backend, heads, kvHeads, headDim, contextLength: k.shape[0] ?? 0 });
  }

  #drop(page: number): void {
    const sequence = this.#sequences.get(page);
    if (sequence === undefined) return;
    this.#sequences.delete(page);
    sequence.attention?.release();
    sequence.k.release();
    sequence.v.release();
  }

  /** The batch of one sequence among several. */
  #alone({ index, count }: SequenceRows, batch: SequenceBatch): SequenceBatch {
    if (batch.sequences === 1) return batch;
    const one = { rows: [index, index + 1] } as const;
    this.#starts ??= this.backend.allocate("i32", [2]);
    this.backend.write(this.#starts, Int32Array.of(0, count));
    return {
      ...batch,
      sequences: 1,
      rows: count,
      queryStarts: this.#starts,
      queryPositions: batch.queryPositions.view(one),
      kvLengths: batch.kvLengths.view(one),
      pageTable: batch.pageTable.view(one),
    };
  }
}

/** Bytes that keys and values in token order take beside the cache, when every page is in use. */
export function orderedBytes({ pages, blockSize, kvHeads, headDim }: LayerCacheShape): number {
  return 2 * pages * blockSize * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}
