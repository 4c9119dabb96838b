/** Where a task's data comes from, and what to say when it is not there. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { FormatError, NotAvailableError } from "@infllm/tensor";
import { fixtureFile } from "../../data.ts";
import type { DataFile, DataSource, Task } from "../task.ts";

export interface DataText {
  readonly text: string;
  /** The path, for error messages and results. */
  readonly path: string;
  /** What `Samples.source` says. */
  readonly source: string;
}

/**
 * The text of a task's file; `.gz` files are unpacked.
 * @throws NotAvailableError without a source or a file: says where it comes from, its fields and its names
 */
export async function readData(file: DataFile, source: DataSource | undefined): Promise<DataText> {
  if (source === undefined) throw new NotAvailableError(`${file.task} needs its data: give a file or a folder. ${whatIsNeeded(file)}`);
  const path = await findData(file, source);
  const bytes = await readFile(path);
  const text = path.endsWith(".gz") ? unpack(bytes, path) : bytes.toString("utf8");
  return { text, path, source: source.kind === "fixture" ? "fixture" : path };
}

/** Path of a task's file. @throws NotAvailableError */
export async function findData(file: DataFile, source: DataSource): Promise<string> {
  if (source.kind === "fixture") return fileURLToPath(fixtureFile(file.fixture));
  const kind = await kindOf(source.path);
  if (kind === "file") return source.path;
  for (const name of kind === "folder" ? file.names : []) {
    const path = join(source.path, name);
    if ((await kindOf(path)) !== undefined) return path;
  }
  const where = kind === "folder" ? `The folder ${source.path} has no ${file.names.join(" or ")}` : `There is no file or folder ${source.path}`;
  throw new NotAvailableError(`${where}, which ${file.task} reads. ${whatIsNeeded(file)}`);
}

/**
 * Says of a path that is not there what the first of these tasks looks for in it, before one after the other says so of itself.
 * @throws NotAvailableError
 */
export async function requireData(source: DataSource, tasks: readonly Task[]): Promise<void> {
  const [first, ...others] = tasks.flatMap(({ reads }) => (reads === undefined ? [] : [reads]));
  if (source.kind === "fixture" || first === undefined || (await kindOf(source.path)) !== undefined) return;
  const more = others.length > 0 ? `, as ${others.length === 1 ? "another task does" : `${others.length} other tasks do`}` : "";
  throw new NotAvailableError(`There is no file or folder ${source.path}, in which ${first.task} looks for its data${more}. ${whatIsNeeded(first)}`);
}

async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  return found.isDirectory() ? "folder" : "file";
}

function whatIsNeeded({ names: [name = ""], from, fields }: DataFile): string {
  const where = name.includes(".") ? `save it as ${name}` : "unpack it there";
  return `The data is ${from}; ${where}. Expected: ${fields}. This package has a few samples in that form.`;
}

function unpack(bytes: Buffer, path: string): string {
  try {
    return gunzipSync(bytes).toString("utf8");
  } catch (error) {
    throw new FormatError(`${path} ends in .gz but cannot be unpacked: ${String(error)}. Download it again.`, { cause: error });
  }
}
