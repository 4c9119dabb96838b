/** Files of the user, with errors that say what to do. */
import { access, constants, readFile, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { NotAvailableError } from "@infllm/tensor";

export async function readText(path: string): Promise<string> {
  return (await orExplain(path, "read", () => readFile(path))).toString("utf8");
}

export async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  await orExplain(path, "written", () => writeFile(path, bytes));
}

/** Fails before any work is done when `path` could not be written after it. */
export async function assertWritable(path: string): Promise<void> {
  await orExplain(path, "written", async () => {
    const folder = await stat(path).then((found) => found.isDirectory(), () => false);
    if (folder) throw Object.assign(new Error(), { code: "EISDIR" });
    await access(dirname(path), constants.W_OK);
  });
}

async function orExplain<T>(path: string, done: "read" | "written", work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new NotAvailableError(`${path} cannot be ${done}: ${explainFileError(error)}.`, { cause: error });
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is no folder",
  EEXIST: "a file of that name is in the way",
  ENOSPC: "the disk is full",
  EROFS: "the disk is read-only",
  EMFILE: "too many files are open",
};

/** Why a file operation failed, in words that go on a sentence. */
export function explainFileError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return reasons[code] ?? error.message;
}
