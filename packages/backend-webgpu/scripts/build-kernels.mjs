/** Writes kernels/ into src/generated/kernels.ts, so that browsers, bundlers and Node load them like any module. */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { kernelSources } from "./kernel-sources.mjs";

const target = fileURLToPath(new URL("../src/generated/", import.meta.url));
const { kernels, pieces } = kernelSources();

mkdirSync(target, { recursive: true });
const source =
  `/** Made by scripts/build-kernels.mjs. */\nimport type { Source } from "../kernel-types.ts";\n\n` +
  `export const kernels = ${JSON.stringify(kernels, null, 2)} as const satisfies Readonly<Record<string, Source>>;\n\n` +
  `export const pieces: Readonly<Record<string, Source>> = ${JSON.stringify(pieces, null, 2)};\n`;
writeFileSync(`${target}kernels.ts`, source);
console.log(`${Object.keys(kernels).length} kernels, ${Object.keys(pieces).length} shared pieces`);
