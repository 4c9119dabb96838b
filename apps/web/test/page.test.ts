/** The page from end to end in headless Chromium: on WASM where texts are long, on WebGPU (SwiftShader) where they are short. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertModel } from "@infllm/model";
import { tinyModel } from "@infllm/tiny-model";
import type { Browser } from "playwright-core";
import sirv from "sirv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch } from "./chromium.ts";
import { ask, drop, pictureColours, playHub, run, screenshot, visit } from "./page.ts";
import { startSite } from "./site.ts";
import type { Site } from "./site.ts";

let site: Site;
let browser: Browser;
/** Files to drop. */
let files: string;
beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), "infllm-drop-"));
  const gguf = (folder: string) => convertModel("embedded", { to: "gguf", dtype: "q8_0", out: join(folder, "tiny.gguf") });
  [site, browser] = await Promise.all([startSite(gguf), launch({ webgpu: true })]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await rm(files, { recursive: true });
});

const onCpu = (more = "") => `${site.url}?backend=cpu&seed=3${more}`;
const storm = "Rain fell all night on the harbour. The special magic number for lighthouse is: 4815162. By dawn the sea was calm again.";
const question = "What is the special magic number for lighthouse mentioned in the text above?";
const right = "The special magic number for lighthouse is: 4815162.";

describe("a visitor", () => {
  it("tries the example with one button, looks at blocks, switches attention, compares, and goes offline", { timeout: 180_000 }, async () => {
    const { page, context, troubles, requests } = await visit(browser, onCpu("&tokens=2048"));
    await screenshot(page, "light-empty");
    await page.evaluate(() => {
      const shifts: number[] = [];
      Object.assign(globalThis, { shifts });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) shifts.push((entry as PerformanceEntry & { value: number }).value);
      }).observe({ type: "layout-shift", buffered: true });
    });
    const said = await run(page, () => page.click("#try"));
    const expected = /special magic number for (\w+) mentioned/.exec(await page.inputValue("#question"))?.[1];
    expect(said).toMatch(new RegExp(`^The special magic number for ${expected} is: \\d{7}\\.$`));
    expect(await page.inputValue("#text")).toContain(said);
    expect(await page.locator(".verdict").getAttribute("data-right")).toBe("true");
    expect(await page.locator(".told").textContent()).toMatch(/^Sparse · read 2,0\d\d tokens in .*· the last query saw 1,\d{3}\./);
    expect(await page.locator("#figure-cache").textContent()).toMatch(/MiB.*16,384 tokens/);
    expect(await page.evaluate(() => (globalThis as unknown as { shifts: number[] }).shifts.reduce((sum, value) => sum + value, 0))).toBeLessThan(0.02);
    await screenshot(page, "light-answered");

    // The picture: two colours and more, in the proportion of what sparse attention left out.
    expect(await page.locator("#picture").getAttribute("data-drawn")).toBe("sparse");
    const colours = await pictureColours(page);
    expect(colours[0]?.[1]).toBeLessThan(0.95);
    expect(colours[1]?.[1]).toBeGreaterThan(0.1);
    expect(await page.locator("#block-text mark").first().textContent()).not.toBe("");
    const box = await page.locator("#map").boundingBox();
    await page.mouse.move((box?.x ?? 0) + 3, (box?.y ?? 0) + 30);
    expect(await page.locator("#block-head").textContent()).toMatch(/^Block 1tokens 0 to 63, read by all 8 layers, layer 2: read$/);
    expect(await page.inputValue("#text")).toContain((await page.locator("#block-text").textContent())?.slice(10, 60));
    await page.locator("#picture").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    expect(await page.locator("#picture").getAttribute("aria-valuetext")).toMatch(/^Block 2, tokens 64 to 127, read by \d of 8 layers, layer 3: (not )?read: /);

    // The same cache: only the question's last tokens are read again.
    expect(await ask(page, await page.inputValue("#question"), "dense")).toBe(said);
    expect(await page.locator(".told").first().textContent()).toMatch(/^Dense · read 1 token in .*, 2,0\d\d from the cache · the last query saw 2,0\d\d\./);
    expect(await page.locator("#picture").getAttribute("data-drawn")).toBe("dense");
    await ask(page, "What is the whale?", "auto");
    expect(await page.locator(".told").first().textContent()).toMatch(/read \d{1,2} tokens in .*, 2,0\d\d from the cache/);

    await page.fill("#question", `What is the special magic number for ${expected} mentioned in the text above?`);
    await run(page, () => page.click("#compare"));
    expect(await page.locator(".side .said").allTextContents()).toEqual([said, said]);
    expect(await page.locator(".side .verdict").evaluateAll((verdicts) => verdicts.map((one) => one.getAttribute("data-right")))).toEqual(["true", "true"]);
    expect(await page.locator(".side .bar-line").allTextContents()).toEqual([
      expect.stringMatching(/^Reading[\d.]+ s$/),
      expect.stringMatching(/^Writing[\d,.]+ tokens\/s$/),
      expect.stringMatching(/^Last query saw2,0\d\d tokens$/),
      expect.stringMatching(/^Reading[\d.]+ s$/),
      expect.stringMatching(/^Writing[\d,.]+ tokens\/s$/),
      expect.stringMatching(/^Last query saw1,\d{3} tokens$/),
    ]);
    await screenshot(page, "light-compared");

    // Nothing but this site was asked for anything, and without a network it all works again.
    expect(requests.filter((url) => !url.startsWith(site.url) && !/^(blob|data):/.test(url))).toEqual([]);
    expect(troubles).toEqual([]);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.fill("#text", storm);
    expect(await ask(page, question, "sparse")).toBe(right);
    await context.close();
  });

  it("drops a GGUF file, a text and a model's folder", { timeout: 180_000 }, async () => {
    await writeFile(join(files, "storm.txt"), storm);
    await mkdir(join(files, "tiny"));
    for (const name of tinyModel.list()) await cp(tinyModel.url(name), join(files, "tiny", name));

    const { page, context, troubles } = await visit(browser, onCpu());
    await run(page, () => drop(page, join(site.folder, "tiny.gguf")));
    expect(await page.locator("#model-name").textContent()).toBe("tiny.gguf");
    await drop(page, join(files, "storm.txt"));
    await page.waitForFunction(() => document.querySelector("#text-size")?.textContent?.includes("token"));
    expect(await page.locator("#text-size").textContent()).toMatch(/^\d\d tokens, 1 block$/);
    expect(await ask(page, question, "sparse")).toBe(right);

    await run(page, () => drop(page, join(files, "tiny")));
    expect(await page.locator("#model-name").textContent()).toBe("tiny");
    expect(await ask(page, question, "auto")).toBe(right);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it("names a file on the web, which is kept, loads offline, and can be removed", { timeout: 180_000 }, async () => {
    const { page, context, troubles } = await visit(browser, onCpu());
    await page.click("#open-models");
    await page.fill("#model-source", `${site.url}tiny.gguf`);
    await run(page, () => page.keyboard.press("Enter"));
    expect(await page.locator("#notices").textContent()).toBe("");
    expect(await page.locator("#model-name").textContent()).toBe("tiny.gguf");
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    await page.fill("#text", storm);
    expect([await ask(page, question, "sparse"), await page.locator("#notices").textContent()]).toEqual([right, ""]);
    await page.click("#open-models");
    expect(await page.locator("#kept-list li").allTextContents()).toEqual([expect.stringMatching(/tiny.gguf, 10\.\d MiB/)]);
    await screenshot(page, "light-models");
    await page.click("#kept-list button:text('Remove')");
    await page.waitForSelector("#kept", { state: "hidden" });
    await page.keyboard.press("Escape");
    await run(page, async () => {
      await page.click("#open-models");
      await page.fill("#model-source", `${site.url}tiny.gguf`);
      await page.keyboard.press("Enter");
    });
    expect(await page.locator("#notices").textContent()).toMatch(/tiny.gguf cannot be reached .*Check the address and the connection/);
    // What the browser itself reports of the refused requests is not the page's trouble.
    expect(troubles.filter((line) => !line.includes("ERR_INTERNET_DISCONNECTED"))).toEqual([]);
    await context.close();
  });

  it("names a model on the Hugging Face hub", { timeout: 180_000 }, async () => {
    const { page, context, troubles } = await visit(browser, onCpu());
    const entries = tinyModel.list().map(async (name) => [name, await readFile(tinyModel.url(name))] as const);
    await playHub(context, "infllm/tiny", new Map(await Promise.all(entries)));
    await page.click("#open-models");
    await page.fill("#model-source", "infllm/tiny");
    await run(page, () => page.keyboard.press("Enter"));
    expect(await page.locator("#notices").textContent()).toBe("");
    expect(await page.locator("#model-name").textContent()).toBe("infllm/tiny");
    await page.fill("#text", storm);
    expect(await ask(page, question, "sparse")).toBe(right);
    await page.click("#open-models");
    await page.fill("#model-source", "infllm/none");
    await run(page, () => page.keyboard.press("Enter"));
    expect(await page.locator("#notices").textContent()).toMatch(/hf:infllm\/none: the hub answered 404\. There is no model infllm\/none/);
    expect(troubles.filter((line) => !line.includes("404"))).toEqual([]);
    await context.close();
  });

  it("stops a load, then loads", { timeout: 180_000 }, async () => {
    const { page, context } = await visit(browser, onCpu());
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await context.route("**/*.safetensors", async (route) => {
      await held;
      await route.continue().catch(() => undefined);
    });
    await page.fill("#text", storm);
    await page.fill("#question", question);
    await page.click("#send");
    await page.waitForSelector("#stop:visible");
    await page.waitForFunction(() => document.querySelector("#run")?.getAttribute("data-phase") === "loading");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("stop");
    await run(page, () => page.click("#stop"));
    expect(await page.locator("#run-label").textContent()).toBe("Stopped");
    expect(await page.locator("#model-note").textContent()).toBe("loads when you ask");
    release();
    await context.unroute("**/*.safetensors");
    expect(await ask(page, question, "sparse")).toBe(right);
    await context.close();
  });

  it("stops an answer, by hand or by another model, and asks on", { timeout: 180_000 }, async () => {
    const { page, context } = await visit(browser, onCpu("&tokens=2048"));
    await run(page, () => page.click("#fill-example"));
    await page.click("#send");
    await page.waitForFunction(() => document.querySelector("#run")?.getAttribute("data-phase") === "reading");
    // The page answers while the model reads.
    await page.locator("#text").press("End");
    await page.locator("#text").pressSequentially(" Yes.");
    expect(await page.inputValue("#text")).toContain(" Yes.");
    await screenshot(page, "light-reading");
    await run(page, () => page.click("#stop"));
    expect(await page.locator(".told").first().textContent()).toBe("Stopped.");
    // Another model takes the place of whatever runs.
    await page.click("#send");
    await page.waitForFunction(() => document.querySelector("#run")?.getAttribute("data-phase") === "reading");
    await drop(page, join(site.folder, "tiny.gguf"));
    await page.waitForFunction(() => document.querySelector("#model-note")?.textContent === "10M parameters, CPU" && document.querySelector("#run")?.getAttribute("data-phase") === "idle");
    expect(await page.locator("#model-name").textContent()).toBe("tiny.gguf");
    await page.fill("#text", storm);
    expect(await ask(page, question, "auto")).toBe(right);
    await context.close();
  });

  it("reads what is wrong with a file in the error's own words", { timeout: 180_000 }, async () => {
    await writeFile(join(files, "broken.gguf"), "GGUF but no more");
    await writeFile(join(files, "picture.png"), new Uint8Array([137, 80, 78, 71, 0, 0]));
    await mkdir(join(files, "gpt2"));
    for (const name of tinyModel.list()) await cp(tinyModel.url(name), join(files, "gpt2", name));
    await writeFile(join(files, "gpt2", "config.json"), JSON.stringify({ architectures: ["GPT2LMHeadModel"], model_type: "gpt2" }));

    const { page, context } = await visit(browser, onCpu());
    const alert = page.locator("[role=alert]");
    await run(page, () => drop(page, join(files, "broken.gguf")));
    expect(await alert.textContent()).toMatch(/^The model could not be loaded\. broken.gguf.*Load again/);
    expect(await alert.getAttribute("data-error")).toMatch(/FormatError|UnsupportedError/);
    await screenshot(page, "light-error");
    await run(page, () => drop(page, join(files, "gpt2")));
    expect(await alert.textContent()).toMatch(/gpt2.*is not supported; supported: llama .*minicpm/);
    await drop(page, join(files, "picture.png"));
    await page.waitForFunction(() => document.body.textContent?.includes("picture.png is no text"));
    await context.close();
  });
});

describe("the page on a GPU", () => {
  it("offers to load again when WebGPU loses its device, and then answers sparsely on it", { timeout: 400_000 }, async () => {
    const { page, context } = await visit(browser, `${site.url}?backend=webgpu&context=512`);
    await page.click("#open-models");
    await page.keyboard.press("Escape");
    const worker = page.workers()[0] ?? (await page.waitForEvent("worker"));
    await worker.evaluate(() => {
      const requestDevice = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await requestDevice.call(this, descriptor);
        Object.assign(globalThis, { device });
        return device;
      };
    });
    await page.fill("#text", storm);
    await page.fill("#question", question);
    await page.check("input[value=sparse]", { force: true });
    await page.click("#send");
    await page.waitForFunction(() => document.querySelector("#run")?.getAttribute("data-phase") === "reading");
    await run(page, () => worker.evaluate(() => (globalThis as unknown as { device: GPUDevice }).device.destroy()));
    expect(await page.locator("[role=alert]").getAttribute("data-error")).toBe("DeviceLostError");
    expect(await page.locator("#model-note").textContent()).toBe("not loaded");
    await screenshot(page, "light-lost");

    await run(page, () => page.click("text=Load again"));
    expect(await page.locator("#model-note").textContent()).toBe("10M parameters, WebGPU");
    expect(await run(page, () => page.click("#send"), 300_000)).toBe(right);
    expect(await page.locator("#picture").getAttribute("data-drawn")).toBe("sparse");
    await context.close();
  });

  it("says what is missing where WebGPU finds no GPU, and runs on WASM", { timeout: 180_000 }, async () => {
    const without = await launch({ webgpu: false });
    try {
      const { page } = await visit(without, site.url);
      await page.fill("#text", storm);
      expect(await ask(page, question, "sparse")).toBe(right);
      expect(await page.locator("#notices").textContent()).toMatch(/no GPU for it\. Turn on hardware acceleration.*runs on the processor: WebAssembly.*threads/);
      expect(await page.locator("#model-note").textContent()).toBe("10M parameters, CPU");
    } finally {
      await without.close();
    }
  });

  it("prefers WASM to WebGPU in software", { timeout: 180_000 }, async () => {
    const { page, context } = await visit(browser, site.url);
    await page.click("#open-models");
    await run(page, () => page.click("#load-embedded"));
    expect(await page.locator("#notices").textContent()).toMatch(/WebGPU, but only in software/);
    await context.close();
  });
});

describe("the page for everyone", () => {
  it("fits a phone, in the dark", { timeout: 180_000 }, async () => {
    const { page, context, troubles } = await visit(browser, onCpu("&tokens=512"), { width: 390, dark: true });
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(await overflow()).toBe(0);
    await screenshot(page, "dark-phone-empty");
    await run(page, () => page.click("#try"));
    expect(await overflow()).toBe(0);
    await screenshot(page, "dark-phone-answered");
    await run(page, () => page.click("#compare"));
    expect(await overflow()).toBe(0);
    await screenshot(page, "dark-phone-compared");
    await page.click("#open-models");
    await screenshot(page, "dark-phone-models");
    expect(troubles).toEqual([]);
    await context.close();
  });

  it("keeps the visitor's choice of light or dark", async () => {
    const { page, context } = await visit(browser, onCpu(), { dark: true });
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const dark = await ground();
    await screenshot(page, "dark-empty");
    await page.click("#theme");
    const light = await ground();
    expect(light).not.toBe(dark);
    expect(await page.locator("#theme").getAttribute("aria-label")).toBe("Switch to dark colours");
    await page.reload();
    expect(await ground()).toBe(light);
    await context.close();
  });

  it("names every control, and reaches all with the keyboard", async () => {
    const { page, context } = await visit(browser, onCpu());
    const controls = "button, select, textarea, input:not([hidden]), [tabindex='0'], a[href]";
    const nameless = await page.locator(controls).evaluateAll((elements) =>
      elements
        .filter((element) => {
          const labels = "labels" in element ? [...((element.labels as NodeListOf<HTMLLabelElement> | null) ?? [])] : [];
          return [element.getAttribute("aria-label"), element.textContent, ...labels.map((label) => label.textContent)].every((name) => !name?.trim());
        })
        .map((element) => element.outerHTML),
    );
    expect(nameless).toEqual([]);
    const reached: (string | undefined)[] = [];
    for (let step = 0; step < 16; step++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute("name") || undefined));
    }
    expect(reached).toEqual(expect.arrayContaining(["open-models", "theme", "text", "question", "attention", "compare", "send", "try", "picture"]));
    await context.close();
  });

  it("gets threads on hosts that set no headers, from the second visit on", async () => {
    const bare = createServer(sirv(site.folder));
    await new Promise<void>((resolve) => bare.listen(0, "127.0.0.1", resolve));
    const address = bare.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { page, context } = await visit(browser, `http://127.0.0.1:${port}/`);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await context.close();
    bare.closeAllConnections();
    bare.close();
  });
});
