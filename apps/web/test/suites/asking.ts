/** Questions: the example, blocks, dense and sparse on one cache, side by side, offline, and stopping. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { question, right, storm } from "../fixture.ts";
import type { Fixture } from "../fixture.ts";
import { ask, drop, pictureColours, run, screenshot, visit } from "../page.ts";

/** What is not in the DOM's types yet. */
interface LayoutShift extends PerformanceEntry {
  readonly value: number;
  readonly sources: readonly { readonly node: Node | null }[];
}

export function asking(at: Fixture): void {
  it("tries the example with one button, looks at blocks, switches attention, compares, and goes offline", { timeout: 180_000 }, async () => {
    const { page, context, troubles, requests } = await visit(at.browser, at.onCpu("&tokens=2048"));
    await page.evaluate(() => {
      const shifts: string[] = [];
      Object.assign(globalThis, { shifts });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries() as LayoutShift[]) {
          const moved = entry.sources.map(({ node }) => (node instanceof Element ? node.id || node.className || node.tagName : String(node)));
          if (entry.value > 0.01) shifts.push(`${entry.value} at ${entry.startTime} ms: ${moved.join(", ")}`);
        }
      }).observe({ type: "layout-shift", buffered: true });
    });
    await page.evaluate(() => {
      const drawn: string[] = [];
      Object.assign(globalThis, { drawn });
      const [map, status] = ["picture", "run"].map((id) => document.getElementById(id));
      const note = (): number => drawn.push(`${map?.dataset["drawn"]} while ${status?.dataset["phase"]}`);
      if (map) new MutationObserver(note).observe(map, { attributeFilter: ["data-drawn"] });
    });
    const said = await run(page, () => page.click("#try"));
    const expected = /special magic number for (\w+) mentioned/.exec(await page.inputValue("#question"))?.[1];
    expect(said).toMatch(new RegExp(`^The special magic number for ${expected} is: \\d{7}\\.$`));
    expect(await page.inputValue("#text")).toContain(said);
    expect(await page.locator(".verdict").getAttribute("data-right")).toBe("true");
    expect(await page.locator(".told").textContent()).toMatch(/^Sparse · read 2,0\d\d tokens in .*· the last query saw 1,\d{3}\./);
    expect(await page.locator("#figure-cache").textContent()).toMatch(/MiB2,0\d\d of 16,384$/);
    expect(await page.evaluate(() => (globalThis as unknown as { shifts: string[] }).shifts)).toEqual([]);
    await screenshot(page, "light-answered");

    expect(await page.evaluate(() => (globalThis as unknown as { drawn: string[] }).drawn)).toEqual(
      expect.arrayContaining(["reading while reading", "sparse while writing"]),
    );

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
    expect(requests.filter((url) => !url.startsWith(at.url) && !/^(blob|data):/.test(url))).toEqual([]);
    expect(troubles).toEqual([]);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.fill("#text", storm);
    expect(await ask(page, question, "sparse")).toBe(right);
    await context.close();
  });

  it("stops an answer, by hand or by another model, and asks on", { timeout: 180_000 }, async () => {
    const { page, context } = await visit(at.browser, at.onCpu("&tokens=8000"));
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
    await drop(page, join(at.folder, "tiny.gguf"));
    await page.waitForFunction(() => document.querySelector("#model-note")?.textContent === "10M parameters, CPU" && document.querySelector("#run")?.getAttribute("data-phase") === "idle");
    expect(await page.locator("#model-name").textContent()).toBe("tiny.gguf");
    await page.fill("#text", storm);
    expect(await ask(page, question, "auto")).toBe(right);
    await context.close();
  });
}
