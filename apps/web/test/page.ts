/** What a visitor does and sees, for the tests. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { webRoot } from "./site.ts";

const screenshots = join(webRoot, ".screenshots");
mkdirSync(screenshots, { recursive: true });

export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What went wrong without anybody having seen it: uncaught errors, refused resources. */
  readonly troubles: string[];
  /** Addresses of all requests. */
  readonly requests: string[];
}

export interface VisitOptions {
  readonly width?: number;
  readonly dark?: boolean;
}

/** A first visit: storage is empty. */
export async function visit(browser: Browser, url: string, { width = 1280, dark = false }: VisitOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: dark ? "dark" : "light" });
  const page = await context.newPage();
  const troubles: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(message.text());
  });
  context.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  return { context, page, troubles, requests };
}

/** Waits until nothing runs any more. @returns the latest answer */
async function finished(page: Page, timeout = 60_000): Promise<string> {
  await page.waitForFunction(() => document.querySelector("#run")?.getAttribute("data-phase") === "idle", undefined, { timeout });
  return (await page.locator(".turn .said").first().textContent({ timeout: 1000 }).catch(() => "")) ?? "";
}

/** Starts something, and waits until it is over. */
export async function run(page: Page, start: () => Promise<unknown>, timeout?: number): Promise<string> {
  await page.evaluate(() => document.querySelector("#run")?.setAttribute("data-phase", "starting"));
  await start();
  return finished(page, timeout);
}

export function ask(page: Page, question: string, attention: "auto" | "dense" | "sparse", timeout?: number): Promise<string> {
  return run(
    page,
    async () => {
      await page.fill("#question", question);
      await page.check(`input[name=attention][value=${attention}]`, { force: true });
      await page.click("#send");
    },
    timeout,
  );
}

/** Drops files or folders of this machine on the page, as a hand would. */
export async function drop(page: Page, ...paths: readonly string[]): Promise<void> {
  const session = await page.context().newCDPSession(page);
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await session.send("Input.dispatchDragEvent", { type, x: 200, y: 300, data: { items: [], files: [...paths], dragOperationsMask: 1 } });
  }
  await session.detach();
}

/** For looking at: git ignores the folder. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}

/** Colours of the picture, most frequent first, and how much of it each covers. */
export function pictureColours(page: Page): Promise<readonly (readonly [colour: string, share: number])[]> {
  return page.locator("#map").evaluate((canvas) => {
    if (!(canvas instanceof HTMLCanvasElement)) throw new Error("no canvas");
    const data = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    const counts = new Map<string, number>();
    for (let at = 0; at < data.length; at += 4) {
      const colour = `${data[at]},${data[at + 1]},${data[at + 2]},${data[at + 3]}`;
      counts.set(colour, (counts.get(colour) ?? 0) + 1);
    }
    const pixels = data.length / 4;
    return [...counts].sort(([, a], [, b]) => b - a).map(([colour, times]) => [colour, times / pixels] as const);
  });
}

/** Plays the Hugging Face hub with one model, whose files are given by name. */
export async function playHub(context: BrowserContext, repo: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  const headers = { "access-control-allow-origin": "*", "access-control-expose-headers": "Content-Range, ETag, Link" };
  await context.route("https://huggingface.co/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname === `/api/models/${repo}/tree/main`) {
      const tree = [...files].map(([path, bytes]) => ({ type: "file", path, size: bytes.length, oid: "0".repeat(40) }));
      return route.fulfill({ headers, json: tree });
    }
    const bytes = files.get(pathname.replace(`/${repo}/resolve/main/`, ""));
    if (bytes === undefined) return route.fulfill({ status: 404, headers });
    const [, from = "0", to = ""] = /^bytes=(\d+)-(\d+)$/.exec(route.request().headers()["range"] ?? "") ?? [];
    const end = Math.min(bytes.length - 1, Number(to));
    const range = `bytes ${from}-${end}/${bytes.length}`;
    return route.fulfill({ status: 206, headers: { ...headers, "content-range": range }, body: bytes.subarray(Number(from), end + 1) });
  });
}
