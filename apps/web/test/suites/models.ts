/** Models: dropped, named, kept, stopped while they load, and refused. */
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tinyModel } from "@infllm/tiny-model";
import { expect, it } from "vitest";
import { question, right, storm } from "../fixture.ts";
import type { Fixture } from "../fixture.ts";
import { ask, drop, playHub, run, screenshot, visit } from "../page.ts";

export function models(at: Fixture): void {
  it("drops a GGUF file, a text and a model's folder", { timeout: 180_000 }, async () => {
    await writeFile(join(at.files, "storm.txt"), storm);
    await mkdir(join(at.files, "tiny"));
    for (const name of tinyModel.list()) await cp(tinyModel.url(name), join(at.files, "tiny", name));

    const { page, context, troubles } = await visit(at.browser, at.onCpu());
    await run(page, () => drop(page, join(at.folder, "tiny.gguf")));
    expect(await page.locator("#model-name").textContent()).toBe("tiny.gguf");
    await drop(page, join(at.files, "storm.txt"));
    await page.waitForFunction(() => document.querySelector("#text-size")?.textContent?.includes("token"));
    expect(await page.locator("#text-size").textContent()).toMatch(/^\d\d tokens, 1 block$/);
    expect(await ask(page, question, "sparse")).toBe(right);

    await run(page, () => drop(page, join(at.files, "tiny")));
    expect(await page.locator("#model-name").textContent()).toBe("tiny");
    expect(await ask(page, question, "auto")).toBe(right);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it("names a file on the web, which is kept, loads offline, and can be removed", { timeout: 180_000 }, async () => {
    const { page, context, troubles } = await visit(at.browser, at.onCpu());
    await page.click("#open-models");
    await page.fill("#model-source", `${at.url}tiny.gguf`);
    await run(page, () => page.keyboard.press("Enter"));
    expect(await page.locator("#notices").textContent()).toBe("");
    expect(await page.locator("#model-name").textContent()).toBe("tiny.gguf");
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    await page.fill("#text", storm);
    expect([await ask(page, question, "sparse"), await page.locator("#notices").textContent()]).toEqual([right, ""]);
    await page.click("#open-models");
    await page.waitForSelector("#kept-list li");
    expect(await page.locator("#kept-list li").allTextContents()).toEqual([expect.stringMatching(/tiny.gguf, 10\.\d MiB/)]);
    await screenshot(page, "light-models");
    await page.click("#kept-list button:text('Remove')");
    await page.waitForSelector("#kept", { state: "hidden" });
    await page.keyboard.press("Escape");
    await run(page, async () => {
      await page.click("#open-models");
      await page.fill("#model-source", `${at.url}tiny.gguf`);
      await page.keyboard.press("Enter");
    });
    expect(await page.locator("#notices").textContent()).toMatch(/tiny.gguf cannot be reached .*Check the address and the connection/);
    // What the browser itself reports of the refused requests is not the page's trouble.
    expect(troubles.filter((line) => !line.includes("ERR_INTERNET_DISCONNECTED"))).toEqual([]);
    await context.close();
  });

  it("names a model on the Hugging Face hub", { timeout: 180_000 }, async () => {
    const { page, context, troubles } = await visit(at.browser, at.onCpu());
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
    const { page, context } = await visit(at.browser, at.onCpu());
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

  it("reads what is wrong with a file in the error's own words", { timeout: 180_000 }, async () => {
    await writeFile(join(at.files, "broken.gguf"), "GGUF but no more");
    await writeFile(join(at.files, "picture.png"), new Uint8Array([137, 80, 78, 71, 0, 0]));
    await mkdir(join(at.files, "gpt2"));
    for (const name of tinyModel.list()) await cp(tinyModel.url(name), join(at.files, "gpt2", name));
    await writeFile(join(at.files, "gpt2", "config.json"), JSON.stringify({ architectures: ["GPT2LMHeadModel"], model_type: "gpt2" }));

    const { page, context } = await visit(at.browser, at.onCpu());
    const alert = page.locator("[role=alert]");
    await run(page, () => drop(page, join(at.files, "broken.gguf")));
    expect(await alert.textContent()).toMatch(/^The model could not be loaded\. broken.gguf.*Load again/);
    expect(await alert.getAttribute("data-error")).toMatch(/FormatError|UnsupportedError/);
    await screenshot(page, "light-error");
    await run(page, () => drop(page, join(at.files, "gpt2")));
    expect(await alert.textContent()).toMatch(/gpt2.*is not supported; supported: llama .*minicpm/);
    await drop(page, join(at.files, "picture.png"));
    await page.waitForFunction(() => document.body.textContent?.includes("picture.png is no text"));

    await page.goto(at.onCpu("&context=32&weights=q8_0"));
    await page.fill("#text", storm);
    await ask(page, question, "auto");
    expect(await alert.textContent()).toMatch(/^That did not work\. The prompt has \d+ tokens, but the context holds 32\./);
    expect(await page.locator("#model-note").textContent()).toBe("10M parameters, CPU");

    await page.goto(at.onCpu("&context=9000000"));
    await ask(page, "Is there room?", "auto");
    expect(await alert.getAttribute("data-error")).toBe("OutOfMemoryError");
    expect(await alert.textContent()).toMatch(/context of 9000000 tokens .* needs .* GiB, but .* is available/);
    await context.close();
  });
}
