/** Downloads that can be continued: into a `.part` file beside the target, renamed when size and hash are right. */
import { FormatError, NotAvailableError, formatBytes } from "@infllm/tensor";
import { describe, responseError } from "./http-source.ts";
import { errorCode, fileError } from "./node-files.ts";

export interface Download {
  readonly url: string;
  /** Where the finished file goes; its folder is made. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 of the file (64 hex digits), or Git's SHA-1 of it as a blob (40). */
  readonly hash: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (loaded: number) => void;
  /** Milliseconds without a byte after which a connection counts as dead. Default 60,000. */
  readonly idleTimeout?: number;
  /** Milliseconds before the first new attempt; doubled for each further one. Default 1,000. */
  readonly retryDelay?: number;
}

/** Attempts in a row that bring no byte before we give up. */
const ATTEMPTS = 5;

/** The unfinished file of a download. The hash in the name keeps the parts of two versions of a file apart. */
export function partPath({ path, hash }: Pick<Download, "path" | "hash">): string {
  return `${path}.${hash.slice(0, 12)}.part`;
}

/**
 * Fetches a file, continuing what an earlier call left.
 * @throws NotAvailableError (refused, unreachable after several attempts, disk full), FormatError (size or hash differ);
 * the signal's reason when aborted
 */
export async function downloadFile(download: Download): Promise<void> {
  const part = partPath(download);
  let loaded = await partBytes(download, part);
  await assertSpace(download, download.size - loaded);
  download.onProgress?.(loaded);
  for (let failures = 0; loaded < download.size; ) {
    const before = loaded;
    try {
      loaded = await fetchOnce(download, part, loaded);
      if (loaded < download.size) throw new Error("the connection closed early");
    } catch (error) {
      download.signal?.throwIfAborted();
      if (error instanceof NotAvailableError || error instanceof FormatError) throw error;
      if (errorCode(error) === "ENOSPC") throw await diskFull(download, part, error);
      loaded = await partBytes(download, part);
      failures = loaded > before ? 1 : failures + 1;
      if (failures >= ATTEMPTS) throw unreachable(download, part, loaded, error);
      await pause((download.retryDelay ?? 1000) * 2 ** (failures - 1), download.signal);
    }
  }
  await finish(download, part);
}

/** Checks the content and gives the part its final name. */
async function finish(download: Download, part: string): Promise<void> {
  const { rename, stat, unlink } = await import("node:fs/promises");
  try {
    const found = await fileHash(part, download);
    if (found === download.hash) return await rename(part, download.path);
    await unlink(part);
    throw new FormatError(`${download.url}: the content has the hash ${found}; ${download.hash} was announced. It was deleted; fetch it again.`);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    // Another process that fetched the same file was first: it wrote the same bytes to the same places.
    const finished = await stat(download.path).catch(() => undefined);
    if (finished?.size !== download.size) throw fileError(part, cause);
  }
}

/** Bytes already there; makes the folder, and an empty part where a file of no bytes is wanted. */
async function partBytes({ path, size }: Download, part: string): Promise<number> {
  const { mkdir, stat, truncate, writeFile } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  try {
    await mkdir(dirname(path), { recursive: true });
    const found = await stat(part).catch(() => undefined);
    if (found === undefined) await writeFile(part, "");
    const bytes = found?.size ?? 0;
    if (bytes <= size) return bytes;
    await truncate(part, 0);
    return 0;
  } catch (cause) {
    throw new NotAvailableError(`${dirname(path)} cannot be written to (${describe(cause)}). Choose another folder with cacheDir or INFLLM_CACHE.`, { cause });
  }
}

/** One request for what is missing, streamed to disk. Returns the bytes then there. */
async function fetchOnce(download: Download, part: string, loaded: number): Promise<number> {
  const { open } = await import("node:fs/promises");
  const stalled = new AbortController();
  const signal = download.signal === undefined ? stalled.signal : AbortSignal.any([stalled.signal, download.signal]);
  const watch = idleWatch(stalled, download.idleTimeout ?? 60_000);
  const file = await open(part, "r+").catch((cause: unknown) => {
    throw fileError(part, cause);
  });
  try {
    const range = { Range: `bytes=${loaded}-`, "Accept-Encoding": "identity" };
    const response = await fetch(download.url, { headers: { ...download.headers, ...range }, signal });
    let at = await startOf(download, response, loaded);
    if (at < loaded) await file.truncate(at);
    for await (const chunk of response.body ?? []) {
      watch.alive();
      if (at + chunk.length > download.size) {
        await file.truncate(0);
        throw new FormatError(`${download.url} sends more than the ${download.size} bytes announced. Nothing was kept; try again.`);
      }
      await writeAll(file, chunk, at);
      at += chunk.length;
      download.onProgress?.(at);
    }
    return at;
  } finally {
    watch.stop();
    await file.close();
  }
}

interface Writable {
  write(bytes: Uint8Array, from: number, length: number, at: number): Promise<{ readonly bytesWritten: number }>;
}

async function writeAll(file: Writable, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

/** Aborts when nobody calls `alive` for `timeout` milliseconds. */
function idleWatch(stalled: AbortController, timeout: number): { alive(): void; stop(): void } {
  const stop = (): void => stalled.abort(new Error(`no byte came for ${timeout / 1000} seconds`));
  const timer = setTimeout(stop, timeout);
  return { alive: () => timer.refresh(), stop: () => clearTimeout(timer) };
}

/** The byte the answer's body starts at. @throws FormatError when it belongs to a file of another size */
async function startOf({ url, size }: Download, response: Response, wanted: number): Promise<number> {
  if (response.status >= 500 || response.status === 429) throw new Error(`the server answered ${response.status}`);
  if (!response.ok) throw await responseError(url, response);
  const range = response.headers.get("content-range");
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(range ?? "") ?? [];
  // 200 is an answer to a range request, too: the whole file, from its start.
  const start = response.status === 200 ? 0 : Number(first ?? NaN);
  const length = response.status === 200 ? response.headers.get("content-length") : total;
  const encoded = response.headers.get("content-encoding") !== null;
  if ((start === 0 || start === wanted) && (length === null || encoded || Number(length) === size)) return start;
  await response.body?.cancel();
  throw new FormatError(`${url}: ${size} bytes were announced, but the server sends ${range ?? `${length} bytes`}. Try again; the file may just have been replaced.`);
}

function unreachable({ url, size }: Download, part: string, loaded: number, cause: unknown): NotAvailableError {
  return new NotAvailableError(
    `${url} could not be fetched: ${describe(cause)} (${ATTEMPTS} attempts). ${formatBytes(loaded)} of ${formatBytes(size)} ` +
      `are kept in ${part}; run the same again to continue.`,
    { cause },
  );
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const { setTimeout: sleep } = await import("node:timers/promises");
  await sleep(milliseconds, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}

/** Refuses a download that cannot fit before its first byte. */
async function assertSpace(download: Download, needed: number): Promise<void> {
  const free = await freeBytes(download.path);
  if (free !== undefined && needed > free) throw spaceError(download, needed, free);
}

async function diskFull(download: Download, part: string, cause: unknown): Promise<NotAvailableError> {
  const { stat } = await import("node:fs/promises");
  const { size: kept } = await stat(part);
  return spaceError(download, download.size - kept, (await freeBytes(download.path)) ?? 0, cause);
}

async function freeBytes(path: string): Promise<number | undefined> {
  const { statfs } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  // Some file systems cannot say; the write itself then tells.
  return statfs(dirname(path)).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => undefined,
  );
}

function spaceError({ path, size }: Download, needed: number, free: number, cause?: unknown): NotAvailableError {
  return new NotAvailableError(
    `The disk is full: ${path} has ${formatBytes(size)}, of which ${formatBytes(needed)} are still to come, and ` +
      `${formatBytes(free)} is free. Free some space, or choose a folder on another disk with cacheDir or INFLLM_CACHE; ` +
      `what came so far is kept and continued.`,
    { cause },
  );
}

/** The kind of hash that was announced, of the finished part. */
async function fileHash(part: string, { hash, size }: Download): Promise<string> {
  const { createHash } = await import("node:crypto");
  const { createReadStream } = await import("node:fs");
  const isGit = hash.length === 40;
  const digest = createHash(isGit ? "sha1" : "sha256");
  if (isGit) digest.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(part)) digest.update(chunk as Uint8Array);
  return digest.digest("hex");
}
