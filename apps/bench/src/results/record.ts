/** What a results folder holds: one JSON line for each finished or failed cell. */
import type { Json } from "../tasks/task.ts";

/** Changes when old lines can no longer be read as new ones. */
export const SCHEMA = 1;

/** What tells one cell of a suite from another, such as `{ task: "niah_single_1", length: 4096, method: "full" }`. */
export type CellKey = Readonly<Record<string, string | number | boolean>>;

/** What a cell found. Numbers may be nested in lists and objects, which charts read. */
export type Figures = { readonly [name: string]: Json };

export interface ModelIdentity {
  readonly name: string;
  /** `sha256:…` over all files; `sha256-sampled:…` over names, sizes and both ends of files of models larger than 1 GiB. */
  readonly hash: string;
}

/** Where a cell ran. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  /** Version of this package. */
  readonly version: string;
  /** The backend's name and its own description; absent for suites that compute nothing on one. */
  readonly backend?: { readonly name: string; readonly description: string };
}

/** What says that two runs would find the same. */
export interface CellIdentity {
  readonly suite: string;
  readonly cell: CellKey;
  /** Whatever else the figures depend on: sample counts, sparse numbers, prompt styles. */
  readonly config: Figures;
  readonly seed: number;
  readonly model?: ModelIdentity;
}

export interface ResultRecord extends CellIdentity {
  readonly schema: typeof SCHEMA;
  readonly environment: Environment;
  /** Commit of the checkout, `+changes` when files differed; the package's version outside a checkout. */
  readonly commit: string;
  readonly status: "done" | "failed";
  /** Empty when the cell failed. */
  readonly figures: Figures;
  /** Why the cell failed. */
  readonly error?: string;
  /** Wall time of the cell. */
  readonly seconds: number;
  /** ISO 8601, UTC. */
  readonly finishedAt: string;
}

/**
 * The same text for the same cell, whatever the order of its keys. Timings belong to a machine, so cells of timed suites
 * carry it here; what a quality suite finds is the same everywhere.
 */
export function cellId({ suite, cell, config, seed, model }: CellIdentity, machine?: string): string {
  return canonical({ suite, cell, config, seed, model: model?.hash ?? null, machine: machine ?? null });
}

/** The machine as timings know it. */
export function machineOf({ cpu, cores, backend }: Environment): string {
  return `${cpu}, ${cores} cores${backend === undefined ? "" : `, ${backend.name}: ${backend.description}`}`;
}

function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
}
