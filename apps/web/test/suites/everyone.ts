/** Narrow screens, dark and light, keyboards, names of controls, hosts without headers. */
import { createServer } from "node:http";
import { availableParallelism } from "node:os";
import sirv from "sirv";
import { expect, it } from "vitest";
import type { Fixture } from "../fixture.ts";
import { run, screenshot, visit } from "../page.ts";

export function everyone(at: Fixture): void {
  it("fits a phone, in the dark", { timeout: 180_000 }, async () => {
    const { page, context, troubles } = await visit(at.browser, at.onCpu("&tokens=512"), { width: 390, dark: true });
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
    const { page, context } = await visit(at.browser, at.onCpu(), { dark: true });
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const dark = await ground();
    await screenshot(page, "dark-empty");
    await page.click("#theme");
    const light = await ground();
    expect(light).not.toBe(dark);
    await screenshot(page, "light-empty");
    expect(await page.locator("#theme").getAttribute("aria-label")).toBe("Switch to dark colours");
    await page.reload();
    expect(await ground()).toBe(light);
    await context.close();
  });

  it("names every control, and reaches all with the keyboard", async () => {
    const { page, context } = await visit(at.browser, at.onCpu());
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

  it("gets threads on hosts that set no headers, from the second visit on", { timeout: 180_000 }, async () => {
    const bare = createServer(sirv(at.folder));
    await new Promise<void>((resolve) => bare.listen(0, "127.0.0.1", resolve));
    const address = bare.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { page, context } = await visit(at.browser, `http://127.0.0.1:${port}/?backend=cpu`);
    const threads = async () => {
      await page.click("#open-models");
      await run(page, () => page.click("#load-embedded"));
      return page.locator("#about").textContent();
    };
    expect(await threads()).toMatch(/1 thread\.One thread only: this engine offers no SharedArrayBuffer/);
    expect(await page.locator("#notices").textContent()).toMatch(/^Reload this page once/);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    if (availableParallelism() > 1) expect(await threads()).toMatch(/\d threads/);
    await context.close();
    bare.closeAllConnections();
    bare.close();
  });
}
