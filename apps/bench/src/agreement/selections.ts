/** What selection reaches of dense attention, and how much selections share: averages over queries that must choose. */
import { freeBlocks, overlap, type LseSample, type SelectionSample } from "@infllm/attention/measure";
import { blockBudget, type SparseConfig } from "@infllm/block-selection";
import type { Figures } from "../results/record.ts";

/** A running mean. */
class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
  }

  /** Null of nothing: figures are JSON. */
  get value(): number | null {
    return this.#count === 0 ? null : this.#sum / this.#count;
  }
}

/** What the blocks of one query hold in all layers and heads, chosen with the approximate LSE. */
interface Reached {
  readonly text: number;
  readonly position: number;
  readonly recall: Mean;
  least: number;
}

const kinds = ["approx", "exact", "forced", "best"] as const;

/** Recall of each kind, by layer and query head. */
type Recalls = Record<(typeof kinds)[number], Mean[][]>;

export class SelectionFigures {
  readonly #recalls: Recalls;
  readonly #neighbours: Mean[];
  readonly #lses: Mean[];
  readonly #before = new Map<number, SelectionSample>();
  /** By text and position. */
  readonly #reached = new Map<string, Reached>();

  constructor(
    readonly layers: number,
    readonly heads: number,
    readonly config: SparseConfig,
  ) {
    const grid = (): Mean[][] => Array.from({ length: layers }, () => Array.from({ length: heads }, () => new Mean()));
    this.#recalls = { approx: grid(), exact: grid(), forced: grid(), best: grid() };
    this.#neighbours = Array.from({ length: layers }, () => new Mean());
    this.#lses = Array.from({ length: layers }, () => new Mean());
  }

  /**
   * Two neighbouring positions after each other are compared; others only count for recall.
   * @param text which text the query is of, from 0
   */
  add(text: number, sample: SelectionSample): void {
    const { layer, position, approx, exact, forcedRecall, bestRecall } = sample;
    const rows = { approx: approx.recall, exact: exact.recall, forced: forcedRecall, best: bestRecall };
    for (const kind of kinds) rows[kind].forEach((value, head) => this.#recalls[kind][layer]?.[head]?.add(value));
    this.#share(approx, position, exact, position, this.#lses[layer]);
    const before = this.#before.get(layer);
    if (before?.position === position - 1) this.#share(before.approx, before.position, approx, position, this.#neighbours[layer]);
    this.#before.set(layer, sample);
    this.#reach(text, sample);
  }

  #reach(text: number, { position, approx }: SelectionSample): void {
    const query = `${text}/${position}`;
    const reached = this.#reached.get(query) ?? { text, position, recall: new Mean(), least: 1 };
    for (const recall of approx.recall) {
      reached.recall.add(recall);
      reached.least = Math.min(reached.least, recall);
    }
    this.#reached.set(query, reached);
  }

  #share(a: LseSample, aAt: number, b: LseSample, bAt: number, into: Mean | undefined): void {
    a.blocks.forEach((blocks, kvHead) => {
      into?.add(overlap(freeBlocks(blocks, aAt, this.config), freeBlocks(b.blocks[kvHead] ?? [], bAt, this.config)));
    });
  }

  figures(): Figures {
    const grids = Object.fromEntries(kinds.map((kind) => [kind, this.#recalls[kind].map((row) => row.map(({ value }) => value))]));
    const averages = Object.fromEntries(kinds.map((kind) => [kind, meanOf(this.#recalls[kind].flat())]));
    return {
      queries: this.#reached.size,
      recall: averages,
      recallByLayerAndHead: grids,
      neighbourOverlap: meanOf(this.#neighbours),
      neighbourOverlapByLayer: this.#neighbours.map(({ value }) => value),
      lseOverlap: meanOf(this.#lses),
      lseOverlapByLayer: this.#lses.map(({ value }) => value),
      /** Text, position, mean recall over layers and heads, and the least of a head. */
      reached: [...this.#reached.values()].map(({ text, position, recall, least }) => [text, position, rounded(recall.value), rounded(least)]),
    };
  }
}

function meanOf(values: readonly Mean[]): number | null {
  const known = values.flatMap(({ value }) => (value === null ? [] : [value]));
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Those of these positions that see more blocks than they may choose. */
export function choosingPositions(positions: readonly number[], config: SparseConfig): number[] {
  return positions.filter((position) => position >= blockBudget(config) * config.blockSize);
}

/**
 * Pairs of neighbouring positions, evenly spread over those that see more blocks than they may choose.
 * @returns empty when a text of this length leaves nothing to choose
 */
export function choosingPairs(length: number, pairs: number, config: SparseConfig): number[] {
  const first = blockBudget(config) * config.blockSize;
  const room = length - 1 - first;
  if (room < 1) return [];
  const starts = Array.from({ length: Math.min(pairs, room) }, (_, i) => first + Math.floor(((i + 1) * room) / Math.min(pairs, room)) - 1);
  return [...new Set(starts.flatMap((start) => [start, start + 1]))];
}

function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toFixed(4));
}
