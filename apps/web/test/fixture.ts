/** The page and a browser, for all suites. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "@infllm/chromium";
import { convertModel } from "@infllm/model";
import type { Browser } from "playwright-core";
import { startSite } from "./site.ts";

export const storm = "Rain fell all night on the harbour. The special magic number for lighthouse is: 4815162. By dawn the sea was calm again.";
export const question = "What is the special magic number for lighthouse mentioned in the text above?";
export const right = "The special magic number for lighthouse is: 4815162.";

export interface Fixture {
  readonly browser: Browser;
  readonly url: string;
  /** What is served; holds `tiny.gguf`, too. */
  readonly folder: string;
  /** Where tests put files to drop. */
  readonly files: string;
  /** The page's address, on WASM: long texts would take minutes on a GPU that is none. */
  onCpu(more?: string): string;
  close(): Promise<void>;
}

export async function startFixture(): Promise<Fixture> {
  const files = await mkdtemp(join(tmpdir(), "infllm-drop-"));
  const gguf = (folder: string) => convertModel("embedded", { to: "gguf", dtype: "q8_0", out: join(folder, "tiny.gguf") });
  const [site, browser] = await Promise.all([startSite(gguf), launch({ webgpu: true })]);
  const { url, folder } = site;
  return {
    browser,
    url,
    folder,
    files,
    onCpu: (more = "") => `${url}?backend=cpu&seed=3${more}`,
    async close() {
      await browser.close();
      await site.close();
      await rm(files, { recursive: true });
    },
  };
}
