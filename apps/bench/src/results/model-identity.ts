/** A hash that names a model by what its files hold. */
import { createHash } from "node:crypto";
import { openModelFiles, type ModelFiles } from "@infllm/model";
import type { ByteSource } from "@infllm/tensor";
import type { ModelIdentity } from "./record.ts";

const piece = 4 << 20;
/** Hashing more than this would take longer than many a measurement. */
const wholeLimit = 2 ** 30;

/** @throws as `openModelFiles` */
export async function modelIdentity(source: string | ModelFiles, signal?: AbortSignal): Promise<ModelIdentity> {
  const files = typeof source === "string" ? await openModelFiles(source, signal === undefined ? {} : { signal }) : source;
  try {
    return await identityOf(files, signal);
  } finally {
    if (typeof source === "string") await files.close();
  }
}

async function identityOf(files: ModelFiles, signal: AbortSignal | undefined): Promise<ModelIdentity> {
  const sources: ByteSource[] = [];
  try {
    for (const name of await files.list()) sources.push(await files.open(name));
    const whole = sources.reduce((sum, { size }) => sum + size, 0) <= wholeLimit;
    const hash = createHash("sha256");
    for (const [index, name] of (await files.list()).entries()) {
      const source = sources[index];
      if (source === undefined) continue;
      hash.update(`${name}\n${source.size}\n`);
      const end = Math.max(0, source.size - piece);
      const starts = whole ? Array.from({ length: Math.ceil(source.size / piece) }, (_, i) => i * piece) : [...new Set([0, end])];
      for (const from of starts) {
        signal?.throwIfAborted();
        hash.update(await source.read(from, Math.min(source.size, from + piece)));
      }
    }
    const digest = hash.digest("hex");
    return { name: files.name, hash: `${whole ? "sha256" : "sha256-sampled"}:${digest}` };
  } finally {
    for (const source of sources) await source.close();
  }
}
