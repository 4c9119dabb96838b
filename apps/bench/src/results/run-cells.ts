/** Runs what is not finished of a plan, cell by cell, and writes a line for each. */
import { count, duration, InterruptedError, Progress, type Io, type Unit } from "@infllm/command";
import { InfllmError } from "@infllm/tensor";
import type { ResultsFolder } from "./folder.ts";
import { SCHEMA, cellId, machineOf, type CellIdentity, type CellKey, type Environment, type Figures, type ModelIdentity } from "./record.ts";

/** What a cell may use while it runs. */
export interface CellContext {
  readonly signal: AbortSignal;
  progress(label: string, done: number, total: number, unit?: Unit): void;
}

export interface Cell {
  readonly cell: CellKey;
  /** Whatever else the figures depend on. */
  readonly config: Figures;
  run(context: CellContext): Promise<Figures>;
}

export interface Plan {
  readonly suite: string;
  /** Whether figures are times, which belong to this machine. */
  readonly timed: boolean;
  readonly seed: number;
  readonly model?: ModelIdentity;
  readonly environment: Environment;
  readonly commit: string;
  readonly cells: readonly Cell[];
  /** The figures of a cell in a few words, for the line that says it is done. */
  describe(figures: Figures): string;
}

export interface RunOptions {
  /** Run finished cells again, too; reports take the last line of a cell. */
  readonly again: boolean;
}

export interface RunSummary {
  readonly done: number;
  /** Cells that were finished in an earlier run. */
  readonly skipped: number;
  /** What failed, and why. */
  readonly failed: readonly { readonly cell: CellKey; readonly error: string }[];
}

/** Some cells failed; the rest is in the results folder. */
export class CellsFailedError extends InfllmError {
  override readonly name = "CellsFailedError";
}

/**
 * A cell that throws is recorded as failed and the rest goes on; the next run tries it again.
 * @throws InterruptedError on Ctrl-C, with the finished cells kept; NotAvailableError when the folder cannot be written
 */
export async function runCells(plan: Plan, folder: ResultsFolder, io: Io, { again }: RunOptions): Promise<RunSummary> {
  const finished = again ? new Set<string>() : finishedCells(plan, folder);
  const todo = plan.cells.filter((cell) => !finished.has(idOf(plan, cell)));
  const skipped = plan.cells.length - todo.length;
  if (skipped > 0) io.stderr.write(`${plan.suite}: ${skipped} of ${plan.cells.length} cells were finished before (--again repeats them)\n`);
  const failed: { cell: CellKey; error: string }[] = [];
  for (const [index, cell] of todo.entries()) {
    const error = await runCell(plan, cell, `${plan.suite} ${skipped + index + 1}/${plan.cells.length}`, folder, io);
    if (error !== undefined) failed.push({ cell: cell.cell, error });
  }
  return { done: todo.length - failed.length, skipped, failed };
}

/** @throws CellsFailedError when a cell failed */
export function requireAll(suite: string, { failed, done, skipped }: RunSummary): void {
  const [first] = failed;
  if (first === undefined) return;
  const all = failed.length + done + skipped;
  throw new CellsFailedError(
    `${failed.length} of ${all} cells of ${suite} failed, the first (${describeCell(first.cell)}) with: ${first.error} ` +
      "The others are in the results folder; run the same command again to retry what failed.",
  );
}

/** `niah_single_1 · 4,096 · full` */
export function describeCell(cell: CellKey): string {
  return Object.values(cell)
    .map((value) => (typeof value === "number" ? count(value) : String(value)))
    .join(" · ");
}

function idOf(plan: Plan, { cell, config }: Pick<CellIdentity, "cell" | "config">): string {
  const { suite, seed, model, timed, environment } = plan;
  return cellId({ suite, cell, config, seed, ...(model && { model }) }, timed ? machineOf(environment) : undefined);
}

function finishedCells(plan: Plan, { records }: ResultsFolder): Set<string> {
  const done = records.filter(({ suite, status }) => suite === plan.suite && status === "done");
  return new Set(done.map((record) => cellId(record, plan.timed ? machineOf(record.environment) : undefined)));
}

/** Undefined when the cell was finished, else why it failed. */
async function runCell(plan: Plan, cell: Cell, label: string, folder: ResultsFolder, io: Io): Promise<string | undefined> {
  const { signal } = io.interrupts;
  if (signal.aborted) throw new InterruptedError("stopped by Ctrl-C");
  const progress = new Progress(io.stderr);
  const name = describeCell(cell.cell);
  const started = performance.now();
  const context: CellContext = {
    signal,
    progress: (what, done, total, unit) => progress.update(`${label} ${name} ${what}`, done, total, unit),
  };
  let figures: Figures = {};
  let error: string | undefined;
  try {
    figures = await cell.run(context);
  } catch (thrown) {
    if (signal.aborted) throw new InterruptedError("stopped by Ctrl-C", { cause: thrown });
    error = thrown instanceof Error ? thrown.message : String(thrown);
  } finally {
    progress.clear();
  }
  const seconds = (performance.now() - started) / 1000;
  const { suite, seed, model, environment, commit } = plan;
  await folder.add({
    schema: SCHEMA,
    suite,
    cell: cell.cell,
    config: cell.config,
    seed,
    ...(model && { model }),
    environment,
    commit,
    status: error === undefined ? "done" : "failed",
    figures,
    ...(error !== undefined && { error }),
    seconds: Math.round(seconds * 1000) / 1000,
    finishedAt: new Date().toISOString(),
  });
  io.stdout.write(`${label}  ${name}  ${error === undefined ? plan.describe(figures) : `FAILED: ${error}`}  (${duration(seconds)})\n`);
  return error;
}
