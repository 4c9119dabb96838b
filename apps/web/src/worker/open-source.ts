/** The files of the model that the visitor wants: from this browser's storage where they are kept, else fetched and kept. */
import { blobFiles, openModelFiles } from "@infllm/model";
import type { ModelFiles } from "@infllm/model";
import { InfllmError } from "@infllm/tensor";
import type { LoadProgress, ModelSource } from "../engine/protocol.ts";
import { forget, keep, listKept, openKept } from "./kept-models.ts";

export interface OpenOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: LoadProgress) => void;
}

export interface OpenedSource {
  readonly files: ModelFiles;
  /** Why the model will not be there offline. */
  readonly notice: string | undefined;
}

/** @throws what `openModelFiles` and the reading of its files throw; the reason that `signal` was aborted with */
export async function openSource(source: ModelSource, options: OpenOptions): Promise<OpenedSource> {
  if (source.kind === "files") return { files: blobFiles(source.name, source.files), notice: undefined };
  const name = source.kind === "embedded" ? await embeddedName() : source.name;
  const kept = await openKept(name).catch(() => undefined);
  if (kept !== undefined) return { files: renamed(kept, source), notice: undefined };
  const { signal, onProgress } = options;
  const report = (file: string, done: number, total: number): void => onProgress({ stage: "download", name: file, done, total });
  const remote = await openModelFiles(source.kind === "embedded" ? "embedded" : name, {
    signal,
    onProgress: ({ file, loaded, total }) => report(file, loaded, total),
  });
  try {
    // The embedded model's files come whole, with progress of their own: copying them takes no time.
    const files = await keep(name, remote, { signal, onProgress: source.kind === "embedded" ? () => undefined : report });
    if (source.kind === "embedded") await forgetOlder(name);
    return { files: renamed(files, source), notice: undefined };
  } catch (error) {
    signal.throwIfAborted();
    // The model's own errors are the visitor's to know; that a storage is full or shut only costs the copy.
    if (error instanceof InfllmError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return { files: remote, notice: `The model is not kept for offline use: ${why}` };
  }
}

/** A name for a storage that outlives the page: it changes with the weights. */
async function embeddedName(): Promise<string> {
  const { tinyModel } = await import("@infllm/tiny-model");
  return `embedded (${tinyModel.url("model.safetensors").pathname.split("/").at(-1) ?? ""})`;
}

/** Earlier versions of the embedded model would never be asked for again. */
async function forgetOlder(name: string): Promise<void> {
  for (const kept of await listKept()) {
    if (kept.name.startsWith("embedded (") && kept.name !== name) await forget(kept.name);
  }
}

function renamed(files: ModelFiles, source: ModelSource): ModelFiles {
  return source.kind === "embedded" ? { ...files, name: "embedded" } : files;
}
