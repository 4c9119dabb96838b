/** Opens the page of the conformance suite in headless Chromium. Its files are handed over by interception: there is no server. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launch } from "@infllm/chromium";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import type { Outcome } from "../../../../tooling/gpu/src/runner.ts";
import type { PageGlobals } from "./page.ts";

const goldens = new URL("../../../conformance/goldens/", import.meta.url);
const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export interface ConformancePage {
  readonly device: string;
  /** All cases of the suite, in order. */
  readonly cases: readonly string[];
  /** Runs these, in the suite's order. */
  run(wanted: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export async function openConformancePage(randomCases: number, report: (outcome: Outcome) => void): Promise<ConformancePage> {
  const script = await bundle();
  const browser = await launch({ webgpu: true });
  try {
    return await open(browser, { script, randomCases, report });
  } catch (error) {
    await browser.close();
    throw error;
  }
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [path("page.ts")],
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2023",
    conditions: process.env["TEST_BUILT"] ? [] : ["@infllm/source"],
    alias: { vitest: path("../../../../tooling/gpu/src/runner.ts"), "node:fs/promises": path("files.ts") },
    write: false,
    logLevel: "warning",
  });
  return outputFiles[0]?.text ?? "";
}

interface Opening {
  readonly script: string;
  readonly randomCases: number;
  report(outcome: Outcome): void;
}

async function open(browser: Browser, { script, randomCases, report }: Opening): Promise<ConformancePage> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(error));
  await page.exposeFunction("report", report);
  // Pages from localhost count as secure, which WebGPU asks for.
  await page.route("http://localhost/**", async (route) => {
    const name = new URL(route.request().url()).pathname;
    if (name === "/") await route.fulfill({ contentType: "text/html", body: '<script type="module" src="/dist/page.js"></script>' });
    else if (name === "/dist/page.js") await route.fulfill({ contentType: "text/javascript", body: script });
    else if (name.startsWith("/goldens/")) await route.fulfill({ body: await readFile(new URL(name.slice("/goldens/".length), goldens)) });
    else await route.fulfill({ status: 404, body: "" });
  });
  await page.goto("http://localhost/");
  await page.waitForFunction(() => (globalThis as PageGlobals).begin !== undefined);
  const begun = await page.evaluate((count) => (globalThis as PageGlobals).begin?.(count), randomCases);
  if (begun === undefined) throw new Error("The page did not begin.");
  return {
    ...begun,
    run: (wanted) => page.evaluate((names) => (globalThis as PageGlobals).run?.(names), wanted),
    close: () => browser.close(),
  };
}
