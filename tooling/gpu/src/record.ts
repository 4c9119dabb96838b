/** The record of a run on a GPU: `verified.json`, written part by part. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

export type GpuRecord = Record<string, unknown>;

/** The first of these records that has all of `same`, such as the same kernels; nothing otherwise. */
export async function earlierParts(files: readonly (string | URL)[], same: GpuRecord): Promise<GpuRecord> {
  for (const file of files) {
    const earlier = await readFile(file, "utf8").then((text) => JSON.parse(text) as GpuRecord, (): GpuRecord => ({}));
    if (Object.entries(same).every(([key, value]) => isDeepStrictEqual(earlier[key], value))) return earlier;
  }
  return {};
}

/** Where the record goes: the folder `OUT`, or the working folder. */
export function recordFile(): string {
  return join(process.env["OUT"] ?? ".", "verified.json");
}

export async function writeRecord(record: GpuRecord): Promise<void> {
  await writeFile(recordFile(), `${JSON.stringify(record, null, 1)}\n`);
}
