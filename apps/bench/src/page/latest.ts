import { cellId, machineOf, type Figures, type ResultRecord } from "../results/record.ts";
import { pooled, pooledId } from "./pool.ts";

/** Suites whose figures are times. */
const timed = ["kernels", "e2e"];

/** What a report shows of a results folder. */
export interface Shown {
  readonly records: readonly ResultRecord[];
  /** Finished cells that another configuration or seed of the same cell replaced. */
  readonly replaced: number;
}

/**
 * The last finished line of every cell, whatever its configuration and seed: a report shows one figure a cell, over the
 * samples of all lines that differ in nothing else. A failure stands only where no line of the cell is finished.
 */
export function latest(records: readonly ResultRecord[]): Shown {
  const cells = new Map<string, ResultRecord>();
  const pools = new Map<string, ResultRecord[]>();
  const poolOf = (record: ResultRecord): string => pooledId(record, machineIfTimed(record));
  for (const record of records) {
    const cell = cellId({ ...record, config: {}, seed: 0 }, machineIfTimed(record));
    if (record.status === "done") pools.set(poolOf(record), [...(pools.get(poolOf(record)) ?? []), record]);
    if (record.status === "done" || cells.get(cell)?.status !== "done") cells.set(cell, record);
  }
  const last = [...cells.values()];
  const done = last.filter(({ status }) => status === "done");
  return {
    records: last.map((record) => (record.status === "done" ? pooled(record, pools.get(poolOf(record)) ?? []) : record)),
    replaced: pools.size - done.length,
  };
}

function machineIfTimed({ suite, environment }: ResultRecord): string | undefined {
  return timed.includes(suite) ? machineOf(environment) : undefined;
}

/** Finished cells of a suite. */
export function finished(records: readonly ResultRecord[], suite: string): ResultRecord[] {
  return records.filter((record) => record.suite === suite && record.status === "done");
}

export function numberIn(figures: Figures, name: string): number | undefined {
  const value = figures[name];
  return typeof value === "number" ? value : undefined;
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : String(value);
}

/** Records by a key, in the order in which keys appear. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Which methods ran on which backend, in a sentence; nothing where all ran on one. */
export function backendText(records: readonly ResultRecord[]): string[] {
  const groups = [...groupBy(records, ({ environment: { backend } }) => backend?.name ?? "another")];
  if (groups.length < 2) return [];
  const each = groups.map(([name, own]) => `${[...new Set(own.map(({ cell }) => textOf(cell["method"])))].join(", ")} on the ${name} backend (${own[0]?.environment.backend?.description ?? "–"})`);
  return [`The methods ran where they can: ${each.join("; ")}. Backends round differently, which matters only where two next tokens are almost equally likely.`];
}

/** `4k` for lengths in whole Ki, else with separators. */
export function tokens(length: number): string {
  if (length >= 1 << 20 && length % (1 << 20) === 0) return `${length / (1 << 20)}M`;
  return length >= 1024 && length % 1024 === 0 ? `${length / 1024}k` : length.toLocaleString("en-US");
}

/** A logarithmic axis of token counts with a tick at each length that was measured. */
export function lengthAxis(field: string, lengths: readonly number[], title = "tokens") {
  const ticks = [...new Set(lengths)].sort((a, b) => a - b);
  const label = "datum.value >= 1048576 ? datum.value / 1048576 + 'M' : datum.value >= 1024 ? datum.value / 1024 + 'k' : datum.value";
  return {
    field,
    type: "quantitative",
    title,
    scale: { type: "log", base: 2, nice: false },
    axis: { values: ticks, labelExpr: label, grid: false },
  } as const;
}

/** Axis labels for seconds: `200 ms`, `5 µs`. */
export const secondsLabels =
  "datum.value === 0 ? '0' : datum.value >= 1 ? format(datum.value, '~r') + ' s' : datum.value >= 1e-3 ? format(datum.value * 1e3, '~r') + ' ms' : format(datum.value * 1e6, '~r') + ' µs'";
