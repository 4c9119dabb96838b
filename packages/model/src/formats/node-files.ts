/** Files on disk. Node's modules are imported when used, so that bundles for browsers carry none of them. */
import { FormatError, NotAvailableError, assertRange, readMemory } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import type { ModelFiles } from "./model-files.ts";

/** The system's name of an error, such as ENOENT; undefined for errors of another kind. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** An error of the file system in our words. */
export function fileError(path: string, cause: unknown): NotAvailableError {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: "does not exist. Check the path",
    EACCES: "may not be read. Check its permissions",
    EPERM: "may not be read. Check its permissions",
    EISDIR: "is a folder, a file is needed",
    ENOTDIR: "does not exist: a part of the path is a file. Check the path",
    EMFILE: "cannot be opened: too many files are open. Close some, or raise the limit",
  };
  const code = errorCode(cause);
  const reason = code === undefined ? undefined : reasons[code];
  const text = cause instanceof Error ? cause.message : String(cause);
  return new NotAvailableError(`${path} ${reason ?? `cannot be read (${text})`}.`, { cause });
}

/** A file on disk, read by range. @throws NotAvailableError when it cannot be opened */
export async function fileSource(path: string): Promise<ByteSource> {
  const { open, stat } = await import("node:fs/promises");
  const fail = (cause: unknown): never => {
    throw fileError(path, cause);
  };
  // Before opening: a pipe that nobody writes to would be waited for without an end.
  const found = await stat(path).catch(fail);
  if (!found.isFile()) {
    throw new NotAvailableError(`${path} is ${found.isDirectory() ? "a folder" : "no regular file"}, a file is needed.`);
  }
  const handle = await open(path, "r").catch(fail);
  const { size } = await handle.stat();
  let closed = false;
  return {
    name: path,
    size,
    async read(from, to, into) {
      assertRange({ name: path, size }, from, to);
      const bytes = readMemory(to - from, into);
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, done, bytes.length - done, from + done).catch(fail);
        if (bytesRead === 0) {
          throw new FormatError(`${path} ended at byte ${from + done}; it had ${size} when opened. Something shortened it; fetch it again.`);
        }
        done += bytesRead;
      }
      return bytes;
    },
    async close() {
      if (closed) return;
      closed = true;
      await handle.close();
    },
  };
}

/** The files right inside a folder. */
export async function folderFiles(folder: string): Promise<ModelFiles> {
  const { readdir } = await import("node:fs/promises");
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  // Caches of other tools hold links to files, so links count; opening one that leads nowhere says so.
  const names = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink()).map((entry) => entry.name);
  return namedFiles(folder, folder, names.sort());
}

/** One weight file; a safetensors file comes with its folder's other files, but no other weights. */
export async function singleFile(path: string): Promise<ModelFiles> {
  const { basename, dirname } = await import("node:path");
  const name = basename(path);
  await (await fileSource(path)).close();
  if (!name.endsWith(".safetensors")) return namedFiles(path, dirname(path), [name]);
  const folder = await folderFiles(dirname(path));
  const isWeights = (other: string): boolean => /\.(safetensors|gguf)$|\.safetensors\.index\.json$/.test(other);
  const beside = (await folder.list()).filter((other) => !isWeights(other));
  return namedFiles(path, dirname(path), [name, ...beside]);
}

async function namedFiles(name: string, folder: string, names: readonly string[]): Promise<ModelFiles> {
  const { join } = await import("node:path");
  return {
    name,
    list: async () => [...names],
    async open(path) {
      assertListed(name, names, path);
      return fileSource(join(folder, path));
    },
    async close() {},
  };
}

/** Keeps `open` to what `list` gave, so that no name leads out of the model. @throws NotAvailableError */
export function assertListed(model: string, names: readonly string[], path: string): void {
  if (names.includes(path)) return;
  const some = names.slice(0, 12).join(", ") || "nothing";
  throw new NotAvailableError(`${model} has no file "${path}"; it holds ${some}.`);
}
