/** Lists kernels that changed since the last run on a GPU as unverified, with the reason. A later run's record replaces it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** `words`: the reason, then the kernels; all changed ones when none is named. `sources`: name and hash of every kernel. */
export function markUnverified(file, sources, words) {
  const [reason = "", ...names] = words;
  if (reason.length < 20) {
    console.error('Say why in a sentence: node scripts/mark-unverified.mjs "changed for …, no GPU at hand" [kernel …]');
    process.exit(1);
  }
  const record = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { kernels: {}, unverified: {} };
  for (const part of [record.kernels, record.unverified]) {
    for (const name of Object.keys(part)) if (!sources.some((source) => source.name === name)) delete part[name];
  }
  for (const { name, hash } of sources) {
    if (record.kernels[name] === hash) delete record.unverified[name];
    else if (names.length === 0 ? record.unverified[name]?.hash !== hash : names.includes(name)) record.unverified[name] = { hash, reason };
  }
  writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`);
  console.log(`unverified: ${Object.keys(record.unverified).join(", ") || "none"}`);
}
