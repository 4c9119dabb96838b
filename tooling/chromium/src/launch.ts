/** A headless Chromium of this machine: no browser is downloaded. */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import type { Browser } from "playwright-core";

const candidates = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** @param webgpu in software (SwiftShader) where there is no GPU; without it, the browser finds no adapter */
export async function launch({ webgpu }: { readonly webgpu: boolean }): Promise<Browser> {
  const executablePath = candidates.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) {
    throw new Error("These tests need Chromium or Chrome. On Debian and Ubuntu: sudo bash tooling/scripts/install-chromium.sh. Elsewhere, set CHROMIUM to its path.");
  }
  const quiet = ["--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet, ...(webgpu ? ["--enable-unsafe-webgpu"] : [])] });
}
