/** A results folder: `<suite>.jsonl` for each suite, appended line by line as cells finish. */
import { appendFile, mkdir, open, readdir, readFile, rmdir, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { explainFileError } from "@infllm/command";
import { NotAvailableError } from "@infllm/tensor";
import { lockFolder, type Lock } from "./lock.ts";
import { parseRecords } from "./parse.ts";
import type { ResultRecord } from "./record.ts";

/** Writes text behind a file's end; a parameter so that tests can fill the disk. */
export type Append = (path: string, text: string) => Promise<void>;

/** All lines of every suite, in the order of files and lines. @throws FormatError, NotAvailableError */
export async function readResults(folder: string): Promise<ResultRecord[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new NotAvailableError(`There is no results folder ${folder}. Measure something first, or name another with --results.`, {
      cause,
    });
  });
  const files = names.filter((name) => name.endsWith(".jsonl")).sort();
  const records = await Promise.all(
    files.map(async (name) => parseRecords(join(folder, name), await readFile(join(folder, name), "utf8"))),
  );
  return records.flat();
}

/** A folder taken for writing. */
export class ResultsFolder {
  readonly #lock: Lock;
  readonly #append: Append;
  readonly #records: ResultRecord[];

  private constructor(
    readonly path: string,
    records: readonly ResultRecord[],
    lock: Lock,
    append: Append,
  ) {
    this.#records = [...records];
    this.#lock = lock;
    this.#append = append;
  }

  /** What the folder held when it was opened, and what was added since. */
  get records(): readonly ResultRecord[] {
    return this.#records;
  }

  /**
   * Makes the folder where there is none, takes its lock, and cuts off a last line that a crash left incomplete.
   * @throws NotAvailableError (in use, or not writable), FormatError (a damaged line)
   */
  static async open(path: string, append: Append = (file, text) => appendFile(file, text)): Promise<ResultsFolder> {
    try {
      await mkdir(path, { recursive: true });
    } catch (cause) {
      throw new NotAvailableError(`The results folder ${path} cannot be made: ${explainFileError(cause)}. Name another with --results.`, { cause });
    }
    const lock = await lockFolder(path);
    try {
      for (const name of await readdir(path)) {
        if (name.endsWith(".jsonl")) await dropIncompleteLine(join(path, name));
      }
      return new ResultsFolder(path, await readResults(path), lock, append);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Writes one line. What a failed write left of it is taken away again, so every line stays whole.
   * @throws NotAvailableError when the disk is full or refuses
   */
  async add(record: ResultRecord): Promise<void> {
    const file = join(this.path, `${record.suite}.jsonl`);
    const before = await size(file);
    try {
      await this.#append(file, `${JSON.stringify(record)}\n`);
    } catch (cause) {
      if ((await size(file)) > before) await truncate(file, before);
      throw new NotAvailableError(
        `${file} cannot be written: ${explainFileError(cause)}. Cells that were finished before are safe: make room and run the same ` +
          "command again, and it goes on where it stopped.",
        { cause },
      );
    }
    this.#records.push(record);
  }

  /** Gives the folder back; one that nothing was written to goes away. */
  async close(): Promise<void> {
    await this.#lock.release();
    // Not empty: another suite's files, or the user's own.
    if (this.#records.length === 0) await rmdir(this.path).catch(() => {});
  }
}

async function size(file: string): Promise<number> {
  return stat(file).then((found) => found.size, () => 0);
}

async function dropIncompleteLine(file: string): Promise<void> {
  const bytes = await readFile(file);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end === bytes.length) return;
  const handle = await open(file, "r+");
  await handle.truncate(end).finally(() => handle.close());
}
