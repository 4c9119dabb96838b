/** What all measuring commands share: a results folder taken for this run, and what its lines say of it. */
import { integer, type Io } from "@infllm/command";
import { Option, type Command } from "commander";
import { codeCommit } from "./results/environment.ts";
import { ResultsFolder } from "./results/folder.ts";
import { requireAll, runCells, type Plan, type RunSummary } from "./results/run-cells.ts";

export interface RunFlags {
  readonly results: string;
  readonly seed: number;
  readonly again?: true;
}

export interface Session {
  readonly io: Io;
  readonly folder: ResultsFolder;
  readonly seed: number;
  readonly again: boolean;
  readonly commit: string;
}

export function addRunOptions(command: Command): Command {
  return command
    .addOption(resultsOption())
    .addOption(
      new Option("--seed <number>", "fixes samples and inputs").argParser(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })).default(1),
    )
    .option("--again", "repeat cells that are finished; reports take the last line of a cell");
}

export function resultsOption(): Option {
  return new Option("--results <dir>", "folder of the results, one .jsonl file a suite").default("results");
}

/** @throws NotAvailableError when another run has the folder */
export async function inSession(flags: RunFlags, io: Io, work: (session: Session) => Promise<void>): Promise<void> {
  const folder = await ResultsFolder.open(flags.results);
  try {
    await work({ io, folder, seed: flags.seed, again: flags.again === true, commit: await codeCommit() });
  } finally {
    await folder.close();
  }
}

/** Runs one plan. @throws CellsFailedError once all cells had their turn and some failed */
export async function runPlan(session: Session, plan: Omit<Plan, "seed" | "commit">): Promise<RunSummary> {
  const { folder, io, seed, commit, again } = session;
  const summary = await runCells({ ...plan, seed, commit }, folder, io, { again });
  requireAll(plan.suite, summary);
  return summary;
}
