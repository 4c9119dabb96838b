/**
 * Models kept in the browser's own storage (OPFS), so that they load without a network: a folder for each, with its files
 * and, once all of them are there, a manifest. Needs a secure context; works in workers only (`createSyncAccessHandle`).
 */
import { blobFiles } from "@infllm/model";
import type { ModelFiles } from "@infllm/model";
import type { ByteSource } from "@infllm/tensor";
import type { KeptModel } from "../engine/protocol.ts";

export interface KeepOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (file: string, done: number, total: number) => void;
}

interface Manifest {
  readonly name: string;
  /** Bytes by file name. */
  readonly files: Readonly<Record<string, number>>;
}

/** Bytes copied at a time: few requests where they come by range, little memory. */
const PIECE = 8 * 2 ** 20;
const MANIFEST = "manifest.json";

/** The kept model of this name, or undefined. */
export async function openKept(name: string): Promise<ModelFiles | undefined> {
  const folder = await (await modelsFolder()).getDirectoryHandle(await folderName(name)).catch(() => undefined);
  const manifest = folder && (await readManifest(folder));
  if (folder === undefined || manifest === undefined) return undefined;
  const blobs = new Map<string, Blob>();
  for (const [path, bytes] of Object.entries(manifest.files)) {
    const file = await (await folder.getFileHandle(encodeURIComponent(path))).getFile();
    if (file.size !== bytes) return undefined;
    blobs.set(path, file);
  }
  return blobFiles(name, blobs);
}

/** Copies every file into the storage. @throws QuotaExceededError and others of the storage; what reading throws */
export async function keep(name: string, files: ModelFiles, options: KeepOptions): Promise<ModelFiles> {
  const models = await modelsFolder();
  const folderId = await folderName(name);
  await models.removeEntry(folderId, { recursive: true }).catch(() => undefined);
  const folder = await models.getDirectoryHandle(folderId, { create: true });
  try {
    const sizes: Record<string, number> = {};
    for (const path of await files.list()) {
      const source = await files.open(path);
      await copy(source, await folder.getFileHandle(encodeURIComponent(path), { create: true }), (done) => {
        options.signal.throwIfAborted();
        options.onProgress(path, done, source.size);
      }).finally(() => source.close());
      sizes[path] = source.size;
    }
    await writeManifest(folder, { name, files: sizes });
  } catch (error) {
    await models.removeEntry(folderId, { recursive: true }).catch(() => undefined);
    throw error;
  }
  const kept = await openKept(name);
  if (kept === undefined) throw new Error("the browser's storage lost what was written to it");
  return kept;
}

export async function listKept(): Promise<KeptModel[]> {
  const kept: KeptModel[] = [];
  for await (const folder of (await modelsFolder()).values()) {
    const manifest = folder.kind === "directory" ? await readManifest(folder as FileSystemDirectoryHandle) : undefined;
    if (manifest === undefined) continue;
    kept.push({ name: manifest.name, bytes: Object.values(manifest.files).reduce((sum, bytes) => sum + bytes, 0) });
  }
  return kept.sort((a, b) => a.name.localeCompare(b.name));
}

export async function forget(name: string): Promise<void> {
  await (await modelsFolder()).removeEntry(await folderName(name), { recursive: true });
}

async function modelsFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("models", { create: true });
}

/** Names may be long URLs; file names may not. */
async function folderName(name: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(name));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function copy(source: ByteSource, to: FileSystemFileHandle, onBytes: (done: number) => void): Promise<void> {
  const handle = await to.createSyncAccessHandle();
  try {
    for (let from = 0; from < source.size; from += PIECE) {
      const bytes = await source.read(from, Math.min(source.size, from + PIECE));
      const written = handle.write(bytes as Uint8Array<ArrayBuffer>, { at: from });
      if (written !== bytes.length) throw new DOMException("The browser's storage is full.", "QuotaExceededError");
      onBytes(from + bytes.length);
    }
    handle.flush();
  } finally {
    handle.close();
  }
}

async function readManifest(folder: FileSystemDirectoryHandle): Promise<Manifest | undefined> {
  try {
    const file = await (await folder.getFileHandle(MANIFEST)).getFile();
    return JSON.parse(await file.text()) as Manifest;
  } catch {
    // Not there or half written: the copy was never completed.
    return undefined;
  }
}

async function writeManifest(folder: FileSystemDirectoryHandle, manifest: Manifest): Promise<void> {
  const handle = await (await folder.getFileHandle(MANIFEST, { create: true })).createSyncAccessHandle();
  try {
    handle.write(new TextEncoder().encode(JSON.stringify(manifest)));
    handle.flush();
  } finally {
    handle.close();
  }
}
