/** Which rows of a batch belong to which sequence, read out before an op. */
import type { SequenceBatch } from "@infllm/block-selection";
import type { HostSteeredBackend } from "./method.ts";

/** One sequence's rows of a batch. */
export interface SequenceRows {
  readonly index: number;
  /** Row of the batch. */
  readonly start: number;
  readonly count: number;
  /** Position of the first row. */
  readonly first: number;
  /** The page of its first block, which no other living sequence holds. */
  readonly page: number;
}

export function sequenceRows({ host }: HostSteeredBackend, batch: SequenceBatch): SequenceRows[] {
  const [starts, positions] = [host.readNow(batch.queryStarts), host.readNow(batch.queryPositions)];
  const pages = host.readNow(batch.pageTable.view({ columns: [0, 1] }));
  return Array.from({ length: batch.sequences }, (_, index) => {
    const start = starts[index] as number;
    const count = (starts[index + 1] as number) - start;
    return { index, start, count, first: positions[index] as number, page: pages[index] as number };
  });
}
