/** Result lines of many folders, each once. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ResultRecord } from "../src/results/record.ts";
import type { CellPart } from "./jobs.ts";

/** Finished lines by suite, and why others failed. */
export class Lines {
  readonly #finished = new Map<string, Set<string>>();
  readonly #failures = new Set<string>();
  /** What finished lines hold, by suite; made when first asked for. */
  readonly #parts = new Map<string, ReadonlySet<string>>();

  /** Takes in the complete lines of every results file in a folder; none where there is no folder. */
  read(folder: string): void {
    for (const name of filesIn(folder)) {
      const text = readFileSync(join(folder, name), "utf8");
      for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) if (line.trim() !== "") this.#add(line);
    }
  }

  get failures(): readonly string[] {
    return [...this.#failures];
  }

  get count(): number {
    return [...this.#finished.values()].reduce((sum, lines) => sum + lines.size, 0);
  }

  has(suite: string, { task, length, method, samples, from }: CellPart): boolean {
    const parts = this.#parts.get(suite) ?? new Set(this.#records(suite).map(({ cell, config }) => partId(cell["task"], cell["length"], cell["method"], config["samples"], config["fromSample"] ?? 0)));
    this.#parts.set(suite, parts);
    return parts.has(partId(task, length, method, samples, from));
  }

  /** Writes a file for each suite, or one suite's alone. */
  write(folder: string, only?: string): void {
    mkdirSync(folder, { recursive: true });
    for (const [suite, lines] of this.#finished) {
      if (only === undefined || only === suite) writeFileSync(join(folder, `${suite}.jsonl`), [...lines].map((line) => `${line}\n`).join(""));
    }
  }

  #add(line: string): void {
    const record = JSON.parse(line) as ResultRecord;
    if (record.status === "failed") {
      this.#failures.add(`${record.suite} ${JSON.stringify(record.cell)}: ${record.error ?? ""}`);
      return;
    }
    this.#parts.delete(record.suite);
    this.#finished.set(record.suite, (this.#finished.get(record.suite) ?? new Set()).add(line));
  }

  #records(suite: string): ResultRecord[] {
    return [...(this.#finished.get(suite) ?? [])].map((line) => JSON.parse(line) as ResultRecord);
  }
}

function partId(...parts: readonly unknown[]): string {
  return parts.join("/");
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
