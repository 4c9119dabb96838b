/** Dense and block-sparse attention: kernels/attend.wgsl, and attend-combine.wgsl where a query's keys are shared out. */
import type { AttendDenseArgs } from "@infllm/attention";
import { activationRows, ownCache } from "../checks.ts";
import { MOST_WORKGROUPS } from "../machine.ts";
import type { Bound, Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";
import type { WebGpuCache } from "../webgpu-cache.ts";
import type { WebGpuTensor } from "../webgpu-tensor.ts";
import { queriesOf, queryTile, tileConstants } from "./queries.ts";
import type { Queries, QueryTile } from "./queries.ts";
import { asFours, copiedBytes, pieces, throughFours } from "./rows.ts";
import type { FourRows } from "./rows.ts";

/** Keys that pass at a time; fixed in the kernel. */
const KEYS = 64;
/** Workgroups wanted at least: some for every core of a large GPU. `attend-combine` takes as many parts as it has invocations. */
const WANTED_WORKGROUPS = 512;
const LEAST_KEY_TILES = 1;
const MOST_PARTS = 256;
/** Small tiles leave this much of the workgroup memory to values. */
const SMALL_TILE = { rows: 16, valueBytes: 8192 };

/** Selected blocks `[kvHeads, capacity, budget]`. */
export interface Chosen {
  readonly tensor: WebGpuTensor;
  readonly capacity: number;
  readonly budget: number;
}

interface Job {
  readonly queries: Queries;
  readonly layer: WebGpuCache;
  readonly sequences: Sequences;
  readonly table: Bound;
  readonly scale: number;
  readonly chosen: Chosen | undefined;
  readonly tile: QueryTile;
  /** Workgroups that share a query's keys. */
  readonly parts: number;
  readonly partial: Bound | undefined;
}

export function attend(machine: Machine, op: string, { q, cache, batch, scale, out }: AttendDenseArgs, chosen?: Chosen): void {
  const layer = ownCache(machine, `${op}: cache`, cache);
  const { kvHeads, headDim, blockSize } = layer.shape;
  const queries = queriesOf(machine, op, q, layer.shape, batch);
  const { tensor, group, heads } = queries;
  const to = activationRows(machine, `${op}: out`, out, { rows: batch.rows, columns: tensor.columns });
  const sequences = new Sequences(machine, op, batch, layer.shape);
  if (batch.rows === 0) return;
  const tile = queryTile(machine, group, chosen ? 1 : batch.rows);
  const keys = chosen ? Math.min(chosen.budget * blockSize, sequences.maxKvLength) : sequences.maxKvLength;
  const costPerRow = 4 * heads * headDim * keys;
  const parts = partsFor(Math.ceil(batch.rows / tile.tokens) * tile.chunks * kvHeads, Math.ceil(keys / KEYS));
  const partialBytes = parts > 1 ? batch.rows * heads * parts * 4 * (headDim + 4) : 0;
  const sizes = [partialBytes, copiedBytes(tensor, to), copiedBytes(to)];
  const pieceRows = Math.floor(MOST_WORKGROUPS / tile.chunks) * tile.tokens;
  const scratch = sizes.some((bytes) => bytes > 0) ? machine.scratch("attention", ...sizes) : [];
  const needed = (index: number): Bound | undefined => ((sizes[index] ?? 0) > 0 ? scratch[index] : undefined);
  const job: Job = { queries, layer, sequences, table: sequences.table(), scale, chosen, tile, parts, partial: needed(0) };
  const from = asFours(machine, tensor, needed(1));
  throughFours(machine, to, needed(2), (target) => {
    for (const [first, end] of pieces(machine, batch.rows, costPerRow, Math.min(pieceRows, MOST_WORKGROUPS))) {
      launchAttend(machine, job, from, target, first, end, costPerRow);
      if (parts > 1) launchCombine(machine, job, target, first, end);
    }
  });
}

function launchAttend(machine: Machine, job: Job, from: FourRows, to: FourRows, first: number, end: number, costPerRow: number): void {
  const { queries: { heads, group }, layer, sequences, table, scale, chosen, tile, parts } = job;
  const { kvHeads, headDim, blockSize } = layer.shape;
  const rows = end - first;
  const steps = Math.ceil(headDim / 64);
  const source = from.bound(first, end);
  const target = to.bound(first, end);
  const blocks = chosen?.tensor.bound() ?? machine.nothingRead;
  const pages = sequences.pageTable.bound();
  machine.launch({
    kernel: "attend",
    cache: layer.dtype,
    constants: { ...tileConstants(machine, tile, headDim), STEPS: steps, VALUE_KEYS: valueKeys(machine, tile.rows, steps) },
    bind: [
      source.bound, table, pages, blocks, layer.part("keys"), layer.part("values"),
      parts > 1 ? machine.nothingWritten : target.bound, job.partial ?? machine.nothingWritten,
    ],
    params: (p) =>
      p
        .u32(rows, first, heads, kvHeads, group, tile.tokens, tile.chunks, headDim, blockSize, chosen?.budget ?? 0, chosen?.capacity ?? 0, parts)
        .u32(source.start4, from.stride4, target.start4, to.stride4, blocks.start, pages.start, sequences.pageTable.rowStride)
        .f32(scale * Math.LOG2E)
        .u32(KEYS),
    groups: [Math.ceil(rows / tile.tokens) * tile.chunks, kvHeads, parts],
    cost: costPerRow * rows,
  });
}

function launchCombine(machine: Machine, { queries: { heads }, layer, table, parts, partial }: Job, to: FourRows, first: number, end: number): void {
  const target = to.bound(first, end);
  const fours = layer.shape.headDim / 4;
  machine.launch({
    kernel: "attend-combine",
    bind: [table, partial ?? machine.nothingRead, target.bound],
    params: (p) => p.u32(first, heads, fours, parts, target.start4, to.stride4),
    groups: [heads, end - first],
    cost: 8 * (end - first) * heads * fours * parts,
  });
}

/** A few queries alone would leave most of the GPU idle. */
function partsFor(workgroups: number, keyTiles: number): number {
  const wanted = Math.floor(WANTED_WORKGROUPS / workgroups);
  return Math.max(1, Math.min(wanted, MOST_PARTS, Math.ceil(keyTiles / LEAST_KEY_TILES)));
}

/** A power of two from 4 to 64. */
function valueKeys({ tiles }: Machine, tileRows: number, steps: number): number {
  const bytes = tileRows <= SMALL_TILE.rows ? SMALL_TILE.valueBytes : tiles.valueBytes;
  let keys = 4;
  while (keys < KEYS && 2 * keys * steps * 256 <= bytes) keys *= 2;
  return keys;
}
