/** What the page runs on: WebGPU (SwiftShader), its loss, its absence. */
import { launch } from "@infllm/chromium";
import { expect, it } from "vitest";
import { question, right, storm } from "../fixture.ts";
import type { Fixture } from "../fixture.ts";
import { ask, run, screenshot, visit } from "../page.ts";

export function gpu(at: Fixture): void {
  it("offers to load again when WebGPU loses its device, and then answers sparsely on it", { timeout: 400_000 }, async () => {
    const { page, context } = await visit(at.browser, `${at.url}?backend=webgpu&context=512`);
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
      const { page } = await visit(without, at.url);
      await page.fill("#text", storm);
      expect(await ask(page, question, "sparse")).toBe(right);
      expect(await page.locator("#notices").textContent()).toMatch(/no GPU for it\. Turn on hardware acceleration.*runs on the processor: WebAssembly.*threads/);
      expect(await page.locator("#model-note").textContent()).toBe("10M parameters, CPU");
    } finally {
      await without.close();
    }
  });

  it("prefers WASM to WebGPU in software", { timeout: 180_000 }, async () => {
    const { page, context } = await visit(at.browser, at.url);
    await page.click("#open-models");
    await run(page, () => page.click("#load-embedded"));
    expect(await page.locator("#notices").textContent()).toMatch(/WebGPU, but only in software/);
    await context.close();
  });
}
