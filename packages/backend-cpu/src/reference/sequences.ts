/** A batch as its device memory describes it at the moment an op runs. */
import { UsageError } from "@infllm/tensor";
import type { SequenceBatch } from "@infllm/block-selection";
import { i32Rows, i32Vector } from "./checks.ts";

export interface Sequence {
  /** First query row of the sequence, counted over the batch. */
  readonly start: number;
  /** Its query rows. */
  readonly count: number;
  /** Absolute position of the first one. */
  readonly position: number;
  /** Cached tokens. */
  readonly length: number;
  /** Page of each block. */
  readonly pages: Int32Array;
}

/** Checks shapes now; the result reads the lengths when it is called, so that a replayed step sees new ones. */
export function sequencesOf(op: string, batch: SequenceBatch): () => Sequence[] {
  const starts = i32Vector(`${op}: batch.queryStarts`, batch.queryStarts, batch.sequences + 1);
  const positions = i32Vector(`${op}: batch.queryPositions`, batch.queryPositions, batch.sequences);
  const lengths = i32Vector(`${op}: batch.kvLengths`, batch.kvLengths, batch.sequences);
  const pageTable = i32Rows(`${op}: batch.pageTable`, batch.pageTable);
  return () => {
    const [start, position, length] = [starts(), positions(), lengths()];
    return Array.from({ length: batch.sequences }, (_, s) => {
      const sequence: Sequence = {
        start: start[s] as number,
        count: (start[s + 1] as number) - (start[s] as number),
        position: position[s] as number,
        length: length[s] as number,
        pages: pageTable.row(s),
      };
      checkSequence(op, s, sequence, batch);
      return sequence;
    });
  };
}

/** Absolute positions of a sequence's query rows. */
export function rowPositions({ position, count }: Sequence): number[] {
  return Array.from({ length: count }, (_, i) => position + i);
}

function checkSequence(op: string, index: number, sequence: Sequence, batch: SequenceBatch): void {
  const { start, count, position, length } = sequence;
  if (start < 0 || count < 0 || start + count > batch.rows || count > batch.maxQueryLength) {
    throw new UsageError(
      `${op}: sequence ${index} has query rows ${start} to ${start + count}; the batch says ${batch.rows} rows, ` +
        `at most ${batch.maxQueryLength} a sequence.`,
    );
  }
  if (position < 0 || position + count > length || length > batch.maxKvLength) {
    throw new UsageError(
      `${op}: sequence ${index} has ${length} cached tokens (bound ${batch.maxKvLength}) and query rows at positions ` +
        `${position} to ${position + count - 1}; every row must be cached.`,
    );
  }
}
