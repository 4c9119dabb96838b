/** The page built from the sources as they are, and served as `npm run web` does. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serve } from "../scripts/serve.mjs";

export const webRoot = fileURLToPath(new URL("../", import.meta.url));

export interface Site {
  readonly url: string;
  /** What is served. */
  readonly folder: string;
  close(): Promise<void>;
}

/** @param prepare puts further files into the folder, before its files are listed */
export async function startSite(prepare: (folder: string) => Promise<unknown>): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), "infllm-web-"));
  const vite = join(dirname(createRequire(import.meta.url).resolve("vite/package.json")), "bin/vite.js");
  // The test runner's own NODE_ENV would make this a build for development.
  const env = { ...process.env, NODE_ENV: "production" };
  await promisify(execFile)(process.execPath, [vite, "build", "--logLevel", "warn", "--outDir", folder, "--emptyOutDir"], { cwd: webRoot, env });
  await prepare(folder);
  const { url, close } = await serve({ port: 0, folder });
  return {
    url,
    folder,
    async close() {
      await close();
      await rm(folder, { recursive: true });
    },
  };
}
