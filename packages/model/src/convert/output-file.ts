import { NotAvailableError } from "@infllm/tensor";
import type { ByteSink } from "../formats/gguf-writer.ts";

/**
 * Writes a file under a temporary name and gives it its own once it is complete, so that a stop half-way leaves no
 * broken model behind.
 * @throws NotAvailableError saying what went wrong with the disk
 */
export async function writeFileWhole(path: string, write: (sink: ByteSink) => Promise<unknown>): Promise<number> {
  const { mkdir, open, rename, rm, stat } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const temporary = `${path}.part`;
  const present = await stat(path).catch(() => undefined);
  // Renaming onto a device or a pipe would replace it.
  if (present && !present.isFile()) throw new NotAvailableError(`${path} is no regular file; choose another name for the output.`);
  let bytes = 0;
  try {
    await disk(path, mkdir(dirname(path), { recursive: true }));
    const file = await disk(path, open(temporary, "w"));
    try {
      await write({
        async write(piece) {
          for (let done = 0; done < piece.length; ) {
            const { bytesWritten } = await disk(path, file.write(piece, done, piece.length - done));
            done += bytesWritten;
          }
          bytes += piece.length;
        },
      });
    } finally {
      await file.close();
    }
    await disk(path, rename(temporary, path));
    return bytes;
  } catch (error) {
    // Where the folder itself is at fault there is nothing to remove, and the first error says why.
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

async function disk<T>(path: string, action: Promise<T>): Promise<T> {
  try {
    return await action;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new NotAvailableError(`${path} cannot be written: ${reason}. Free space there, or choose another place for the output.`, {
      cause: error,
    });
  }
}
